"""Patches of clips of any lengths that go through a network in groups."""

import pytest
import torch

from espret.audio.patches import PatchExtractor


class Pairs(PatchExtractor):
    """Each two samples that follow one another, and their product."""

    sample_rate, dim, hop_seconds, at_a_time = 1, 3, 1.0, 3

    def __init__(self):
        super().__init__()
        self.groups = []

    def frames(self, samples):
        return samples - 1

    def patches(self, samples):
        return samples.unfold(1, 2, 1)

    def embed(self, patches):
        self.groups.append(len(patches))
        return torch.cat([patches, patches.prod(1, keepdim=True)], dim=1)


@pytest.mark.parametrize(
    "lengths, groups", [((2, 5, 3), [3, 3, 1]), ((7,), [3, 3]), ((2,), [1]), ((4, 4), [3, 3]), ((2, 2, 2), [3])]
)
def test_groups_run_over_the_ends_of_clips(lengths, groups):
    network = Pairs()
    clips = [torch.arange(length) + 10.0 * number for number, length in enumerate(lengths)]
    found = network.extract(clips)
    assert network.groups == groups
    assert [len(frames) for frames in found] == [network.frames(length) for length in lengths]
    for clip, frames in zip(clips, found):
        assert torch.equal(frames, torch.stack([clip[:-1], clip[1:], clip[:-1] * clip[1:]], dim=1))


def test_forward_is_extract_of_clips_of_a_length():
    samples = torch.randn(4, 6)
    assert torch.equal(Pairs()(samples), torch.stack(Pairs().extract(list(samples))))
