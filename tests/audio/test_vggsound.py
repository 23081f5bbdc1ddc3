"""VGGSound's front end and networks against the reference program's numbers and scipy; odd lengths and silence."""

import functools

import numpy as np
import pytest
import scipy.signal
import torch
from filled import SOURCES, fill, golden, layout, wave

from espret.audio import vggsound, vggsound_spectrogram
from espret.audio.vggsound import VggSoundH, VggSoundI, VggSoundResNet
from espret.audio.vggsound_spectrogram import RATE, VggSoundSpectrogram
from espret.errors import EspretError

KINDS = {"vggsound_h": VggSoundH, "vggsound_i": VggSoundI}


@functools.cache
def filled(name):
    """A network with made-up weights that hears 10 s."""
    network = KINDS[name](RATE, "random", clip_seconds=10)
    fill(network.body)
    return network


def expected(samples, repeats=10, longest=10 * RATE):
    """What the reference's dataloader does, in numpy."""
    samples = np.clip(np.tile(samples.double().numpy(), repeats)[:longest], -1, 1)
    density = np.log(scipy.signal.spectrogram(samples, RATE, nperseg=512, noverlap=353)[2] + 1e-7)
    return ((density - density.mean()) / (density.std() + 1e-9)).T


@pytest.mark.parametrize("source", SOURCES)
def test_spectrogram_is_that_of_the_reference(source):
    reference = golden("front_vggsound", source)
    front = VggSoundSpectrogram(RATE)
    for case in reference.cases:
        reference.check({"spec": front(reference.wave(case)[None])[0].T}, case)


def watched(network, samples):
    """What the layers make of one clip, and what comes out."""
    seen = {}

    def keep(layer):
        return getattr(network.body.audnet, layer).register_forward_hook(
            lambda module, inputs, found: seen.update({layer: found[0].clone()})  # changed in place later
        )

    hooks = [keep(layer) for layer in ("maxpool", "layer1", "layer2", "layer3", "layer4")]
    frames = network(samples[None])[0]
    for hook in hooks:
        hook.remove()
    fmap = seen.pop("layer4")
    embedding = network.body.audnet.embedding(fmap[None])
    logits = network.body.audnet.logits(embedding)[0]
    return seen | {"fmap": fmap, "frames": frames.T, "embedding": embedding[0], "logits": logits}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("source", SOURCES)
@torch.inference_mode()
def test_network_is_that_of_the_reference(name, source):
    reference = golden(name, source)
    network = filled(name)
    for case in reference.cases:
        samples = reference.wave(case)
        reference.check(watched(network, samples) | {"spec": network.front(samples[None])[0].T}, case)


@pytest.mark.parametrize("name", KINDS)
def test_state_dict_has_the_official_keys(name):
    assert {key: tuple(value.shape) for key, value in filled(name).body.state_dict().items()} == layout(name)


@pytest.mark.parametrize("samples", [52, 500, 3333, 159999, 200000])
def test_spectrogram_of_any_length_is_that_of_scipy(samples):
    clip = wave(samples, samples, RATE, gain=1.5)
    front = VggSoundSpectrogram(RATE)
    found = front(torch.stack([clip, clip.flip(0)]))
    assert found.dtype == torch.float32 and found.shape == (2, front.frames(samples), front.dim)
    np.testing.assert_allclose(found[0], expected(clip), atol=1e-5)
    np.testing.assert_allclose(found[1], expected(clip.flip(0)), atol=1e-5)


@pytest.mark.parametrize("loudness", [0, 1, 2])
def test_nearly_silent_clips_are_not_noise(loudness):
    """The logarithms of such clips deviate by less than float32 can tell."""
    steps = torch.from_numpy(np.random.default_rng(0).integers(-loudness, loudness + 1, 20000))
    clip = (steps / 32768).float()
    np.testing.assert_allclose(VggSoundSpectrogram(RATE)(clip[None])[0], expected(clip), atol=1e-4)


def test_silence_and_a_constant_are_zero():
    for clip in (torch.zeros(1, RATE), torch.full((1, RATE), 0.3), torch.full((1, RATE), 2.0)):
        assert VggSoundSpectrogram(RATE)(clip).abs().max() < 1e-4


def test_long_clips_are_cut_or_not():
    clip = wave(1, 12 * RATE, RATE)[None]
    first, whole = VggSoundSpectrogram(RATE), VggSoundSpectrogram(RATE, clip_seconds=0)
    assert torch.equal(first(clip), first(clip[:, : 10 * RATE]))
    assert whole(clip).shape == (1, whole.frames(12 * RATE), 257) == (1, 1 + (12 * RATE - 512) // 159, 257)
    assert torch.equal(first(clip[:, :RATE]), whole(clip[:, :RATE]))


@pytest.mark.parametrize("samples", [1, 51])
def test_very_short_clips_are_repeated_to_a_window(samples):
    clip = wave(samples, samples, RATE)[None]
    front = VggSoundSpectrogram(RATE)
    assert front(clip).shape == (1, front.frames(samples), 257) == (1, 1, 257)
    np.testing.assert_allclose(front(clip)[0], expected(clip[0], 600, 512), atol=1e-5)


def test_spectrogram_in_stretches_is_the_same(monkeypatch):
    clips = torch.stack([wave(seed, 3000, RATE) for seed in range(3)])
    at_once = VggSoundSpectrogram(RATE)(clips)
    monkeypatch.setattr(vggsound_spectrogram, "FRAMES", 100)
    torch.testing.assert_close(VggSoundSpectrogram(RATE)(clips), at_once)


def test_autocast_leaves_the_spectrogram_alone():
    clip = wave(0, 5000, RATE)[None]
    with torch.autocast("cpu", torch.bfloat16):
        found = VggSoundSpectrogram(RATE)(clip)
    assert torch.equal(found, VggSoundSpectrogram(RATE)(clip))


def test_another_rate_is_refused():
    with pytest.raises(EspretError, match="sample_rate is 32000; expected 16000"):
        VggSoundSpectrogram(32000)
    with pytest.raises(EspretError, match="vggsound_i: features.sample_rate is 44100"):
        VggSoundI(44100, "random")


@pytest.mark.parametrize(("seconds", "frames"), [(10, 32), (30, 95), (12, 38), (3, 32), (0.2, 7)])
def test_tokens_of_a_clip(seconds, frames):
    network = VggSoundH(RATE, "random").eval()
    samples = int(seconds * RATE)
    assert network.frames(samples) == frames
    assert network.hop_seconds == pytest.approx(0.318)
    if seconds < 1:
        with torch.inference_mode():
            assert network(wave(0, samples, RATE)[None]).shape == (1, frames, network.dim)


@pytest.mark.parametrize("count", [289, 320, 321, 449])
@torch.inference_mode()
def test_network_in_stretches_is_the_same(count, monkeypatch):
    network = filled("vggsound_h").body.audnet
    spectrogram = torch.randn(1, count, 17, generator=torch.Generator().manual_seed(count))
    whole = network(spectrogram)
    monkeypatch.setattr(vggsound, "STRETCH", 64)
    calls = []
    hook = network.layer4.register_forward_hook(lambda *_: calls.append(1))
    torch.testing.assert_close(network(spectrogram), whole, atol=1e-4, rtol=1e-4)
    hook.remove()
    assert len(calls) == -(-count // 64)


@pytest.mark.parametrize(
    ("name", "output", "dim"),
    [("vggsound_h", "embedding", 512), ("vggsound_i", "embedding", 8192), ("vggsound_i", "logits", 309)],
)
@torch.inference_mode()
def test_one_frame_for_a_clip_is_of_its_first_ten_seconds(name, output, dim):
    network = KINDS[name](RATE, "random", output)
    network.body.load_state_dict(filled(name).body.state_dict())
    network.eval()
    clip = wave(5, 800, RATE)
    (found,) = network.extract([clip])
    assert found.shape == (network.frames(800), network.dim) == (1, dim)
    fmap = filled(name).body.audnet(filled(name).front(clip[None]))
    embedding = filled(name).body.audnet.embedding(fmap)
    torch.testing.assert_close(found, embedding if output == "embedding" else network.body.audnet.logits(embedding))
    assert network.front.clip_seconds == 10 and network.hop_seconds == 0


def test_random_weights_are_always_the_same_and_said_so():
    state = torch.get_rng_state()
    one, two = VggSoundI(RATE, "random"), VggSoundI(RATE, "random")
    assert torch.equal(state, torch.get_rng_state())
    assert one.provenance == {"checkpoint": "random"}
    two_state = two.state_dict()
    assert all(torch.equal(value, two_state[key]) for key, value in one.state_dict().items())


def test_official_file_is_loaded(tmp_path):
    path = tmp_path / "a 'checkpoint'.pth.tar"
    torch.save({"model_state_dict": filled("vggsound_h").body.state_dict(), "epoch": 1}, path)
    network = VggSoundH(RATE, str(path))
    assert network.provenance["checkpoint"] == path.name
    assert torch.equal(network.body.audnet.fc.weight, filled("vggsound_h").body.audnet.fc.weight)
    with pytest.raises(EspretError, match="avgpool"):
        VggSoundI(RATE, str(path))


def test_gradients_reach_all_of_it():
    for pooling in ("average", "netvlad"):
        network = VggSoundResNet(pooling).train()
        fmap = network(torch.randn(2, 33, 33))
        network.logits(network.embedding(fmap)).sum().backward()
        assert all(parameter.grad is not None for parameter in network.parameters())
