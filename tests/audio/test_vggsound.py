"""VGGSound's front end and networks against what the reference program gave, and scipy; long, short and silent clips."""

import functools

import numpy as np
import pytest
import scipy.signal
import torch
from filled import SOURCES, fill, golden, layout, wave

from espret.audio import vggsound
from espret.audio.vggsound import RATE, VggSoundH, VggSoundI, VggSoundResNet, VggSoundSpectrogram
from espret.errors import EspretError

KINDS = {"vggsound_h": VggSoundH, "vggsound_i": VggSoundI}
LAYERS = ("maxpool", "layer1", "layer2", "layer3", "layer4")


@functools.cache
def filled(name):
    return fill(KINDS[name](RATE, "random", clip_seconds=10))


def frozen(name, **options):
    made = KINDS[name](RATE, "random", **options).eval()
    made.load_state_dict(filled(name).state_dict())
    return made


def spectrogram(samples):
    """What the reference's dataloader does, in numpy."""
    samples = np.clip(np.tile(samples.double().numpy(), 10)[: 10 * RATE], -1, 1)
    density = np.log(scipy.signal.spectrogram(samples, RATE, nperseg=512, noverlap=353)[2] + 1e-7)
    return ((density - density.mean()) / (density.std() + 1e-9)).T


@pytest.mark.parametrize("source", SOURCES)
def test_spectrogram_is_that_of_the_reference(source):
    reference = golden("front_vggsound", source)
    front = VggSoundSpectrogram(RATE)
    for case in reference.cases:
        reference.check({"spec": front(reference.wave(case)[None])[0].T}, case)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("source", SOURCES)
@torch.inference_mode()
def test_network_is_that_of_the_reference(name, source):
    reference = golden(name, source)
    network = filled(name)
    for case in reference.cases:
        seen = {}
        hooks = [
            getattr(network.audnet, layer).register_forward_hook(
                lambda module, inputs, found, layer=layer: seen.update({layer: found[0].clone()})
            )
            for layer in LAYERS
        ]
        frames = network(reference.wave(case)[None])[0]
        [hook.remove() for hook in hooks]
        seen["spec"] = network.front(reference.wave(case)[None])[0].T
        seen["fmap"] = fmap = seen.pop("layer4")
        embedding = network.audnet.embedding(fmap[None])
        logits = network.audnet.logits(embedding)
        reference.check(seen | {"frames": frames.T, "embedding": embedding[0], "logits": logits[0]}, case)


@pytest.mark.parametrize("name", KINDS)
def test_state_dict_has_the_official_keys(name):
    assert {key: tuple(value.shape) for key, value in filled(name).state_dict().items()} == layout(name)
    assert all(key.startswith("audnet.") for key in layout(name))
