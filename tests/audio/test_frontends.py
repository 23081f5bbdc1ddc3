"""What all front ends and networks of the registry have: frames as they say, provenance, the facts of the table."""

import pytest
import torch
from filled import wave

from espret.audio import FRONTENDS
from espret.audio.network import Extractor
from espret.audio.published import published, table
from espret.config import build

RATES = {
    "logmel": 44100,
    "waveform": 8000,
    "panns_logmel": 32000,
    "vggish_logmel": 16000,
    "yamnet_logmel": 16000,
    "passt_mel": 32000,
    "coala_logmel": 22000,
    "vggsound_spectrogram": 16000,
}
NETWORKS = sorted(set(FRONTENDS) & set(table()))


def test_all_are_tested():
    assert {*RATES, *NETWORKS, "huggingface"} == set(FRONTENDS)


@pytest.mark.parametrize("name", RATES)
@torch.inference_mode()
def test_front_ends_without_weights(name):
    front = build(FRONTENDS, {"type": name}, sample_rate=RATES[name]).eval()
    assert isinstance(front, Extractor) and front.sample_rate == RATES[name]
    assert front.provenance == {} and not front.state_dict()
    for samples in (1, 12345):
        frames = front(wave(1, samples, RATES[name])[None])
        assert frames.shape == (1, front.frames(samples), front.dim) and frames.dtype == torch.float32
        assert torch.isfinite(frames).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_as_the_table_says(name):
    row = published(name)
    with torch.device("meta"):  # drawing weights would take seconds
        network = build(FRONTENDS, {"type": name, "checkpoint": "random"}, sample_rate=row.sample_rate)
    assert isinstance(network, Extractor) and network.provenance == {"checkpoint": "random"}
    assert (network.sample_rate, network.dim) == (row.sample_rate, row.dim)
    assert network.hop_seconds == pytest.approx(row.hop_seconds, abs=1e-3)
