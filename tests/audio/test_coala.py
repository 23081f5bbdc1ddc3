"""COALA: the reference's numbers, how clips become chunks, and the noise that the reference adds."""

import pytest
import torch
from filled import SOURCES, fill, golden, layout, wave

from espret.audio.coala import network as coala_network
from espret.audio.coala.network import (
    CoalaCnn,
    CoalaCnnBody,
    CoalaDualAeC,
    CoalaDualBody,
    CoalaDualEC,
    CoalaLogMel,
    scaled,
)
from espret.audio.coala.scaler import MIN, SCALE
from espret.errors import EspretError

SHORT = 220000  # samples: 10 s
BODIES = {"coala": (CoalaDualBody, "audio_encoder", "fc"), "coala_cnn": (CoalaCnnBody, "encoder", "tags")}


@pytest.fixture(scope="module")
def bodies():
    return {name: fill(make()) for name, (make, *_) in BODIES.items()}


@pytest.fixture
def network(bodies):
    def make(kind=CoalaDualAeC, **options):
        made = kind(22000, "random", **options)
        made.body = bodies["coala_cnn" if kind is CoalaCnn else "coala"]
        return made.eval()

    return make


@pytest.mark.parametrize("name", BODIES)
def test_keys_of_the_official_files(name):
    state = BODIES[name][0]().state_dict()
    assert [(key, tuple(tensor.shape)) for key, tensor in state.items()] == list(layout(name).items())


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", BODIES)
@torch.inference_mode()
def test_outputs_of_the_reference(name, source, bodies):
    reference = golden(name, source)
    _, encoder, head = BODIES[name]
    for case in reference.cases:
        logmel = CoalaLogMel(22000)(reference.wave(case)[None])[0]
        found = {"logmel": logmel.T, "chunks": scaled(logmel.unfold(0, 96, 96))}

        def keep(key, found=found):
            return lambda module, given, out: found.__setitem__(key, out.clone())

        layers = [f"{encoder}.{number}" for number in (2, 6, 10)]
        hooks = [
            bodies[name].get_submodule(layer).register_forward_hook(keep(layer.replace(".", "_"))) for layer in layers
        ]
        found["embedding"], found[head] = bodies[name](found["chunks"])
        for hook in hooks:
            hook.remove()
        reference.check(found, case)


@pytest.mark.parametrize("source", SOURCES)
@torch.inference_mode()
def test_front_end_of_the_reference(source):
    reference = golden("front_coala", source)
    front = CoalaLogMel(22000)
    for case in reference.cases:
        logmel = front(reference.wave(case)[None])[0]
        reference.check({"logmel": logmel.T, "chunks": scaled(logmel.unfold(0, 96, 96))}, case)
    constants = {"scaler_scale": torch.tensor(SCALE), "scaler_min": torch.tensor(MIN)}
    reference.check({"mel_matrix": front.bands.T} | constants)


@pytest.mark.parametrize(
    "kind, output, found", [(CoalaDualEC, "embedding", 0), (CoalaDualAeC, "head", 1), (CoalaCnn, "head", 1)]
)
@torch.inference_mode()
def test_frames_are_what_the_network_makes_of_the_chunks(kind, output, found, network):
    made = network(kind, output=output)
    clip = wave(1, 5000, 22000)[None]
    frames = made(clip)
    expected = made.body(scaled(made.front(clip)[0].unfold(0, 96, 96)))[found]
    assert frames.shape == (1, 4, made.dim)
    torch.testing.assert_close(frames[0], expected)


@pytest.mark.parametrize(
    "samples, hop, frames", [(1, 96, 4), (1, 48, 7), (SHORT, 96, 4), (231000, 48, 8), (50 * 512 + SHORT, 96, 5)]
)
def test_chunks(samples, hop, frames, network):
    made = network(hop=hop)
    clip = wave(1, samples, 22000)[None]
    chunks = made.patches(clip)[0]
    assert chunks.shape == (frames, 96, 96) and made.frames(samples) == frames
    logmel = made.front(clip)[0]
    assert len(logmel) == made.front.frames(samples)
    assert torch.equal(chunks[-1], logmel[hop * (frames - 1) :][:96].T)
    assert made.hop_seconds == hop * 512 / 22000


def test_silence_is_the_floor():
    found = CoalaLogMel(22000)(torch.zeros(2, 10))
    assert found.shape == (2, 430, 96)
    torch.testing.assert_close(found, torch.full_like(found, 2.0**-23).log())


def test_long_clips_in_stretches(monkeypatch):
    clip = wave(1, 300000, 22000)[None]
    expected = CoalaLogMel(22000)(clip)
    monkeypatch.setattr(coala_network, "PART", 100)
    torch.testing.assert_close(CoalaLogMel(22000)(clip), expected, atol=1e-5, rtol=0)


def test_noise_in_short_clips_is_the_same_each_time():
    plain, noisy, again = CoalaLogMel(22000), CoalaLogMel(22000, noise=True), CoalaLogMel(22000, noise=True)
    silent = noisy(torch.zeros(1, SHORT))
    assert torch.equal(silent, again(torch.zeros(2, 100))[1:])
    mean, deviation = noisy.hiss.mean(), noisy.hiss.std()
    assert mean == pytest.approx(2.5e-4, rel=0.01) and deviation == pytest.approx(5e-4 / 12**0.5, rel=0.01)
    clip = wave(1, SHORT + 1, 22000)[None]
    assert not torch.equal(noisy(clip[:, :-1]), plain(clip[:, :-1]))
    assert torch.equal(noisy(clip), plain(clip))


@torch.inference_mode()
def test_a_clip_alone_and_among_others(network):
    made = network()
    made.at_a_time = 3
    clips = [wave(seed, samples, 22000) for seed, samples in ((1, 30000), (2, 300000), (3, 100))]
    together = made.extract(clips)
    assert [len(frames) for frames in together] == [4, 6, 4]
    torch.testing.assert_close(together[1], made(clips[1][None])[0], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_under_autocast(network):
    clip = wave(1, 1000, 22000)[None]
    with torch.autocast("cpu", torch.bfloat16):
        logmel, found = CoalaLogMel(22000)(clip), network()(clip)
    assert torch.equal(logmel, CoalaLogMel(22000)(clip))
    expected = network()(clip)
    assert found.dtype == torch.float32 and 0 < (found - expected).abs().max() < 0.1


def test_bad_options_are_refused():
    with pytest.raises(EspretError, match="coala_dual_e_c: hop is 0; expected frames between chunks"):
        CoalaDualEC(22000, "random", hop=0)
    with pytest.raises(EspretError, match="sample_rate is 22050; expected 22000"):
        CoalaCnn(22050, "random")
