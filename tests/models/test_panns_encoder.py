"""PANNs as trained encoders: what the frozen networks give, padding, and what is trained."""

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from espret.audio.panns.logmel import PannsLogMel
from espret.audio.panns.network import Cnn10Network
from espret.errors import EspretError
from espret.models.panns_encoder import PannsEncoder

RATE = 32000

pytestmark = pytest.mark.usefixtures("one_thread")


def padded(clips):
    return pad_sequence(clips, batch_first=True), torch.tensor([len(clip) for clip in clips])


@pytest.mark.parametrize("output", ["frames", "embedding"])
@torch.inference_mode()
def test_what_the_frozen_network_gives(output):
    encoder, frozen = PannsEncoder(64, "cnn10", "random", output).eval(), Cnn10Network(RATE, "random", output).eval()
    clips = [0.1 * torch.randn(samples) for samples in (12000, 20000)]
    found, counts = encoder(*padded([PannsLogMel(RATE)(clip[None])[0] for clip in clips]))
    assert encoder.dim == found.shape[2] == 512 and counts.tolist() == ([2, 3] if output == "frames" else [1, 1])
    for clip, vectors, count in zip(clips, found, counts):
        expected = frozen(clip[None])[0]
        torch.testing.assert_close(vectors[:count], expected, atol=1e-4 * expected.max().item(), rtol=0)
        assert not vectors[count:].any()


@pytest.mark.parametrize("output", ["frames", "embedding"])
def test_all_that_is_trained_gets_gradients(output):
    encoder = PannsEncoder(64, "cnn10", "random", output)
    vectors, _ = encoder(*padded([torch.randn(frames, 64) for frames in (40, 70)]))
    vectors.square().sum().backward()
    missing = [name for name, weight in encoder.named_parameters() if weight.requires_grad and weight.grad is None]
    assert not missing


@pytest.mark.parametrize("spec_augment", [True, False])
def test_stripes_are_an_option(spec_augment):
    encoder = PannsEncoder(64, "cnn10", "random", spec_augment=spec_augment)
    heard = []
    encoder.body.conv_block1.register_forward_pre_hook(lambda module, given: heard.append(given[0][:, 0]))
    encoder(torch.randn(2, 200, 64), torch.tensor([200, 200]))
    assert (heard[0] == 0).any() == spec_augment


def test_wrong_features():
    with pytest.raises(EspretError, match="128 dimensions.*panns_logmel"):
        PannsEncoder(128, "cnn10", "random")
