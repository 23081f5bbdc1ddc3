"""PaSST as a trainable encoder: segments of dumped spectrograms, padding, what training draws and what it trains."""

import pytest
import torch

from espret.audio.passt.body import VARIANTS, Variant
from espret.audio.passt.mel import SILENCE, PasstMel
from espret.audio.passt.network import PasstS
from espret.errors import EspretError
from espret.models.passt_encoder import PasstEncoder

FRAMES, COLUMNS = 100, 6  # of a segment

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(VARIANTS, "passt_s", Variant(stride=16, positions=COLUMNS, depth=1, seconds=1))


def encoder(**options):
    return PasstEncoder(128, "passt_s", "random", **options).eval()


@pytest.mark.parametrize("output", ["segments", "frames"])
@torch.inference_mode()
def test_what_the_frozen_network_gives(output):
    samples = 0.1 * torch.randn(2, 70000)
    mel = PasstMel(32000, segment_seconds=1).eval()(samples)
    vectors, lengths = encoder(output=output)(mel, torch.tensor([300, 300]))
    expected = PasstS(32000, "random", output).eval()(samples)
    assert lengths.tolist() == [3 * (COLUMNS if output == "frames" else 1)] * 2
    assert (vectors[:, : expected.shape[1]] - expected).abs().max() < 1e-5


@pytest.mark.parametrize("output", ["segments", "frames"])
@torch.inference_mode()
def test_padding_changes_nothing(output):
    feats = torch.full((4, 330, 128), 9.0)  # what lies beyond the ends is not looked at
    lengths = torch.tensor([330, 100, 117, 3])
    for clip, length in zip(feats, lengths):
        clip[:length] = torch.randn(length, 128)
    network = encoder(output=output)
    together, counts = network(feats, lengths)
    assert counts.tolist() == ([4, 1, 2, 1] if output == "segments" else [19, 6, 7, 1])
    for clip, length, vectors, count in zip(feats, lengths, together, counts):
        alone, own = network(clip[None, :length], length[None])
        assert own.item() == count and (alone[0, :count] - vectors[:count]).abs().max() < 1e-5
        assert not vectors[count:].any()


@torch.inference_mode()
def test_last_segments_are_padded_with_silence():
    feats = torch.randn(1, 130, 128)
    padded = torch.cat([feats, torch.full((1, 70, 128), SILENCE)], dim=1)
    network = encoder()
    assert network(feats, torch.tensor([130]))[0].allclose(network(padded, torch.tensor([200]))[0], atol=1e-5)


@pytest.mark.parametrize("output", ["segments", "frames"])
def test_training(output):
    torch.manual_seed(1)
    network = encoder(output=output, patchout_f=2, patchout_t=3, dropout=0.1).train()
    feats, lengths = torch.randn(3, 210, 128), torch.tensor([210, 150, 9])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        vectors, counts = network(feats, lengths)
    assert vectors.dtype == torch.float32 and vectors.isfinite().all()
    if output == "frames":
        assert vectors.shape == (3, 9, 768) and counts.min() >= 1 and counts.max() <= 7
    vectors.square().sum().backward()
    without = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert without == {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert without == {f"body.{name}" for name in ("head.0.weight", "head.0.bias", "head.1.weight", "head.1.bias")} | {
        "body.head_dist.weight",
        "body.head_dist.bias",
    }


def test_training_masks_segments():
    torch.manual_seed(2)
    feats, lengths = torch.randn(1, FRAMES, 128), torch.tensor([FRAMES])
    plain, masked = encoder(freqm=0, timem=0), encoder()
    known = plain(feats, lengths)[0]
    assert plain.train()(feats, lengths)[0].allclose(known, atol=1e-5)
    assert masked(feats, lengths)[0].allclose(known, atol=1e-5)
    assert not masked.train()(feats, lengths)[0].allclose(known, atol=1e-3)


def test_wrong_features():
    with pytest.raises(EspretError, match="features of 64 values; expected 128: frontend passt_mel"):
        PasstEncoder(64, "passt_s", "random")
