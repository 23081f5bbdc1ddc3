"""Banks of mel bands against torchaudio's, which are computed in single precision, and what triangles are."""

import pytest
import torch
from torchaudio.compliance.kaldi import get_mel_banks
from torchaudio.functional import melscale_fbanks

from espret.audio.mel import htk_bands, slaney_bands


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("equal_area", [True, False])
def test_bands_of_torchaudio(scale, equal_area):
    expected = melscale_fbanks(513, 50.0, 14000.0, 64, 32000, "slaney" if equal_area else None, scale)
    found = slaney_bands(32000, 1024, 64, 50, 14000, scale, equal_area)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), expected, atol=2e-5 * expected.max().item(), rtol=0)


def test_bands_of_kaldi():
    expected, _ = get_mel_banks(64, 512, 16000, 125.0, 7500.0, 100.0, -500.0, 1.0)
    torch.testing.assert_close(htk_bands(16000, 512, 64, 125, 7500)[:256].T.float(), expected, atol=1e-4, rtol=0)


def test_bands_have_equal_areas_or_heights():
    fine = 1 << 16
    areas = slaney_bands(16000, fine, 20, 100, 7000).sum(0) * 16000 / fine
    heights = slaney_bands(16000, fine, 20, 100, 7000, equal_area=False).amax(0)
    torch.testing.assert_close(areas, torch.ones_like(areas), atol=1e-3, rtol=0)
    torch.testing.assert_close(heights, torch.ones_like(heights), atol=1e-2, rtol=0)


def test_lines_of_a_spectrum_of_an_odd_number_of_samples():
    bands = slaney_bands(9000, 9, 2, 0, 4400)
    assert bands.shape == (5, 2)
    torch.testing.assert_close(bands[1:], slaney_bands(9000, 9000, 2, 0, 4400)[1000:4001:1000])
