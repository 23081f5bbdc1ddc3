"""PaSST's spectrogram: the reference's numbers, torchaudio's bands and masks, frames of clips of any length."""

import pytest
import torch
from filled import SOURCES, golden, wave
from torchaudio.compliance.kaldi import get_mel_banks
from torchaudio.functional import mask_along_axis_iid

from espret.audio.passt import mel as passt_mel
from espret.audio.passt.mel import MASKED, SILENCE, PasstMel, mask_stripes, mel_bank
from espret.errors import EspretError


@pytest.mark.parametrize("source", SOURCES)
def test_spectrograms_of_the_reference(source):
    reference = golden("front_passt_mel", source)
    front = PasstMel(32000).eval()
    for case in reference.cases:
        reference.check({"mel": front(reference.wave(case)[None])[0].T}, case)
    reference.check({"kaldi_mel_bank": mel_bank(0, 15000)[:512].T, "kaldi_mel_bank_aug": mel_bank(7, 15333)[:512].T})


@pytest.mark.parametrize(("low", "high"), [(0, 15000), (9, 14001), (0, 16000), (3, 15555)])
def test_bands_of_torchaudio(low, high):
    bands, _ = get_mel_banks(128, 1024, 32000, low, high, 100.0, -500.0, 1.0)
    bank = mel_bank(low, high)
    assert bank.shape == (513, 128) and not bank[512].any()
    assert (bank[:512].T - bands).abs().max() < 1e-4


@pytest.mark.parametrize("samples", [1, 2, 320, 513, 514, 641, 3200, 3201, 32000 + 1])
@pytest.mark.parametrize("segment", [0, 1])
def test_frames_of_clips_of_any_length(samples, segment):
    front = PasstMel(32000, segment_seconds=segment).eval()
    mel = front(wave(1, 2 * samples, 32000).view(2, samples))
    assert mel.shape == (2, front.frames(samples), 128) and mel.isfinite().all()
    expected = 100 * -(-samples // 32000) if segment else 1 + (max(samples, 514) - 1) // 320
    assert mel.shape[1] == expected


def test_silence():
    assert PasstMel(32000).eval()(torch.zeros(1, 32000)).allclose(torch.tensor(SILENCE), atol=1e-6)


def test_long_clips_in_stretches(monkeypatch):
    samples = wave(2, 2 * 16000, 32000).view(2, -1)
    front = PasstMel(32000).eval()
    whole = front(samples)
    monkeypatch.setattr(passt_mel, "STRETCH", 15)
    assert (front(samples) - whole).abs().max() < 1e-5


def test_segments_are_transformed_by_themselves():
    samples = wave(3, 80000, 32000)[None]
    whole, cut = (PasstMel(32000, segment_seconds=seconds).eval() for seconds in (0, 1))
    padded = torch.nn.functional.pad(samples, (0, 16000))
    parts = torch.cat([whole(part) for part in padded.split(32000, dim=1)], dim=1)
    assert (cut(samples) - parts).abs().max() < 1e-5
    assert (cut(samples)[:, :200] - whole(samples)[:, :200]).abs().max() > 0.1  # ends are mirrored


def test_float32_under_autocast():
    samples = wave(4, 32000, 32000)[None]
    front = PasstMel(32000).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mel = front(samples)
    assert mel.dtype == torch.float32 and mel.equal(front(samples))


def test_training_draws_bands_and_masks():
    torch.manual_seed(1)
    samples = wave(5, 32000, 32000)[None].expand(2, -1)
    front = PasstMel(32000, freqm=0, timem=0)
    known = front.eval()(samples)
    first, second = front.train()(samples), front(samples)
    assert first[0].equal(first[1])  # one bank for the batch
    assert not first.equal(second) and not first.equal(known)
    assert (first - known).abs().mean() < 0.2  # the same spectrogram, shifted by a few Hz
    masked = PasstMel(32000)(samples)
    assert (masked == MASKED).any() and not masked[0].equal(masked[1])


def test_masks_are_those_of_torchaudio():
    torch.manual_seed(2)
    mel = torch.zeros(4000, 60, 40)
    ours = mask_stripes(mel, 16, 0)[:, 0] == MASKED
    theirs = mask_along_axis_iid(mel.transpose(1, 2), 16, 1.0, 1)[:, :, 0] == 1
    assert ours.sum(1).max() == theirs.sum(1).max() == 15
    assert abs(ours.sum(1).double().mean() - theirs.sum(1).double().mean()) < 0.4
    assert (ours.double().mean(0) - theirs.double().mean(0)).abs().max() < 0.05
    assert ((ours[:, 1:] & ~ours[:, :-1]).sum(1) + ours[:, 0] <= 1).all()  # one stripe
    assert (mask_stripes(mel, 0, 16)[:, :, 0] == MASKED).sum(1).max() == 15


def test_masks_may_be_one_for_the_batch_and_wider_than_the_clip():
    torch.manual_seed(3)
    mel = torch.zeros(8, 5, 40)
    masked = mask_stripes(mel, 16, 192, "batch")
    assert (masked == masked[:1]).all() and (masked == MASKED).any() and not mel.any()


def test_wrong_options():
    with pytest.raises(EspretError, match="features.sample_rate is 16000; expected 32000 Hz"):
        PasstMel(16000)
    with pytest.raises(EspretError, match="segment_seconds -1; expected 10, 20, or 0"):
        PasstMel(32000, -1)
