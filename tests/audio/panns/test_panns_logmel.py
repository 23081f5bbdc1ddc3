"""The log-mel front end of PANNs: the reference's numbers, clips of any length, silence, stretches."""

import pytest
import torch
from filled import SOURCES, golden, wave

from espret.audio.panns import logmel
from espret.audio.panns.logmel import PannsLogMel, constants

RATE = 32000


@pytest.mark.parametrize("source", SOURCES)
@torch.inference_mode()
def test_front_end_of_the_reference(source):
    reference, frontend, official = golden("front_panns", source), PannsLogMel(RATE), constants()
    stft = official["spectrogram_extractor"]["stft"]
    found = {f"{case}_logmel": frontend(reference.wave(case)[None])[0] for case in reference.cases}
    found |= {name: stft[name].weight[:, 0] for name in ("conv_real", "conv_imag")}
    found["melW"] = official["logmel_extractor"].melW
    assert set(found) == set(reference.arrays) and torch.equal(found["melW"], frontend.bands)
    reference.check(found)


@pytest.mark.parametrize("samples", [0, 1, 319, 512, 513, 639, 640, 4799, 20000])
def test_frames_of_clips_however_short(samples):
    frontend = PannsLogMel(RATE)
    found = frontend(wave(3, samples, RATE)[None])
    assert found.shape == (1, frontend.frames(samples), 64) == (1, 1 + max(samples, 513) // 320, 64)
    assert torch.isfinite(found).all()


def test_silence():
    assert torch.equal(PannsLogMel(RATE)(torch.zeros(1, 5000)), torch.full((1, 16, 64), -100.0))


@torch.inference_mode()
def test_in_stretches_of_a_batch_and_in_single_precision(monkeypatch):
    frontend = PannsLogMel(RATE)
    clips = torch.stack([wave(seed, 50 * 320 + 11, RATE) for seed in range(3)])
    whole = frontend(clips)
    monkeypatch.setitem(logmel.SPECTRA, "cpu", 1)  # 32 frames at a time are the least
    torch.testing.assert_close(frontend(clips), whole, atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cat([frontend(clip[None]) for clip in clips]), whole, atol=1e-4, rtol=0)
    precise = frontend(clips)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(frontend(clips), precise)
