"""VGGish: the reference's numbers from waveform to 8-bit codes, patches at any hop, clips of odd lengths."""

import math

import pytest
import torch
from filled import SOURCES, golden, layout, tensors, wave
from torch.nn.functional import pad

from espret.audio import htk_mel, vggish
from espret.audio.checkpoint import load_checkpoint
from espret.audio.vggish import Vggish, VggishBody, VggishLogMel, VggishPca
from espret.errors import EspretError

PATCH = 15600  # samples that a patch hears
HOP = 15360  # samples from patch to patch


@pytest.fixture(scope="module")
def networks():
    """The networks of the official files, by name."""
    with torch.device("meta"):
        made = {"vggish": VggishBody().eval(), "vggish_pca": VggishPca().eval()}
    for name, network in made.items():
        network.load_state_dict(tensors(name), assign=True)
    return made


@pytest.fixture
def make(networks, monkeypatch):
    """A function that makes a Vggish with made-up weights."""
    loaded = []

    def load(name, option, _):
        loaded.append((name, option))
        return networks[name], {"checkpoint": option}

    def made(**options):
        return Vggish(16000, **options).eval()

    monkeypatch.setattr(vggish, "load_network", load)
    made.loaded = loaded
    return made


def keep(found, name):
    """A hook that keeps what a layer makes."""
    return lambda module, given, made: found.update({name: made.clone()})


@pytest.mark.parametrize("name", ["vggish", "vggish_pca"])
def test_keys_of_the_official_files(name, networks):
    assert [(key, tuple(tensor.shape)) for key, tensor in networks[name].state_dict().items()] == list(
        layout(name).items()
    )


@pytest.mark.parametrize("source", SOURCES)
@torch.inference_mode()
def test_spectrogram_of_the_reference(source, make):
    reference = golden("front_vggish", source)
    for case in reference.cases:
        samples = reference.wave(case)[None]
        patches = make().patches(samples)[0]
        reference.check({"logmel": VggishLogMel(16000)(samples)[0], "patches": patches}, case)
    reference.check({"mel_matrix": VggishLogMel(16000).bands})


@pytest.mark.parametrize("source", SOURCES)
@torch.inference_mode()
def test_outputs_of_the_reference(source, networks, make):
    reference = golden("vggish", source)
    body, pca = networks["vggish"], networks["vggish_pca"]
    for case in reference.cases:
        found = {}
        layers = {**{f"features_{number}": body.features[number] for number in (2, 5, 10)}, "fc1": body.embeddings[1]}
        hooks = [layer.register_forward_hook(keep(found, name)) for name, layer in layers.items()]
        samples = reference.wave(case)[None]
        found["logmel"] = VggishLogMel(16000)(samples)[0]
        found["patches"] = make().patches(samples)[0]
        found["embedding_pre"] = body.before_relu(found["patches"])
        for hook in hooks:
            hook.remove()
        found["fmap"] = body.maps(found["patches"])
        found["embedding"] = make()(samples)[0]
        found["pca"] = make(output="pca")(samples)[0]
        found["quantised"] = make(output="quantised")(samples)[0]
        reference.check(found, case)
        torch.testing.assert_close(found["pca"], pca(found["embedding_pre"].relu()))


def test_codes_are_whole_and_end_at_0_and_255():
    components = torch.tensor([[-9.0, -2.0, -1.995, 0.0, 0.02, 2.0, 7.0]])
    assert VggishPca().quantise(components).tolist() == [[0, 0, 0, 128, 129, 255, 255]]


@torch.inference_mode()
def test_random_weights_have_no_pca():
    torch.testing.assert_close(VggishPca()(torch.ones(2, 128)), torch.ones(2, 128))


@pytest.mark.parametrize("shape", [(128,), (128, 1)])
def test_means_of_a_file_in_a_row_or_a_column(shape, tmp_path):
    stored = tensors("vggish_pca")
    torch.save(stored | {"pca_means": stored["pca_means"].double().reshape(shape)}, tmp_path / "a 'pca'.pth")
    pca = VggishPca()
    load_checkpoint(pca, tmp_path / "a 'pca'.pth")
    assert torch.equal(pca.pca_means, stored["pca_means"])


@pytest.mark.parametrize(
    ("hop", "samples", "patches"),
    [
        (0.96, 1, 1),
        (0.96, PATCH, 1),
        (0.96, PATCH + HOP - 1, 1),
        (0.96, PATCH + HOP, 2),
        (0.48, PATCH + HOP // 2, 2),
        (0.48, PATCH + HOP, 3),
        (1.92, PATCH + 2 * HOP - 1, 1),
    ],
)
@torch.inference_mode()
def test_incomplete_patches_are_dropped(hop, samples, patches, make):
    network = make(hop=hop)
    found = network.patches(torch.ones(2, samples))
    assert (network.frames(samples), tuple(found.shape)) == (patches, (2, patches, 96, 64))
    assert network.hop_seconds == pytest.approx(hop)


@torch.inference_mode()
def test_patches_that_overlap_are_those_of_the_shifted_clip(make):
    samples = wave(1, PATCH + HOP, 16000)[None]
    found = make(hop=0.48).patches(samples)
    torch.testing.assert_close(found[:, 1], make().patches(samples[:, HOP // 2 :])[:, 0])


@pytest.mark.parametrize("samples", [1, 399, 5000, PATCH - 1])
@torch.inference_mode()
def test_a_short_clip_is_padded_to_one_patch(samples, make):
    clip = wave(2, samples, 16000)[None]
    torch.testing.assert_close(VggishLogMel(16000)(clip), VggishLogMel(16000)(pad(clip, (0, PATCH - samples))))
    assert make()(clip).shape == (1, 1, 128)


@torch.inference_mode()
def test_silence_is_the_logarithm_of_the_offset():
    found = VggishLogMel(16000)(torch.zeros(1, 2 * PATCH))
    torch.testing.assert_close(found, torch.full_like(found, math.log(0.01)))


@torch.inference_mode()
def test_a_long_clip_in_stretches(monkeypatch):
    samples = torch.stack([wave(seed, 3 * PATCH + 77, 16000) for seed in (3, 4)])
    whole = VggishLogMel(16000)(samples)
    monkeypatch.setattr(htk_mel, "FRAMES", 7)
    torch.testing.assert_close(VggishLogMel(16000)(samples), whole)


@torch.inference_mode()
def test_spectrogram_in_float32_under_autocast():
    samples = wave(5, PATCH, 16000)[None]
    with torch.autocast("cpu", torch.bfloat16):
        found = VggishLogMel(16000)(samples)
    torch.testing.assert_close(found, VggishLogMel(16000)(samples), rtol=0, atol=0)


@torch.inference_mode()
def test_clips_of_any_lengths_together_are_as_alone(make):
    network = make()
    network.at_a_time = 2
    clips = [wave(seed, samples, 16000) for seed, samples in enumerate((PATCH + 2 * HOP, 100, PATCH + HOP + 5))]
    found = network.extract(clips)
    assert [len(tokens) for tokens in found] == [network.frames(len(clip)) for clip in clips] == [3, 1, 2]
    for clip, tokens in zip(clips, found):
        torch.testing.assert_close(tokens, network(clip[None])[0], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_maps_as_tokens(make, networks):
    network = make(output="fmap")
    clips = [wave(6, PATCH + HOP, 16000), wave(7, 300, 16000)]
    found = network.extract(clips)
    assert (network.dim, network.hop_seconds) == (512, pytest.approx(0.16))
    assert [len(tokens) for tokens in found] == [network.frames(len(clip)) for clip in clips] == [12, 6]
    maps = networks["vggish"].maps(network.patches(clips[0][None])[0])
    torch.testing.assert_close(found[0][7], maps[1, :, 1].mean(dim=1), rtol=1e-4, atol=1e-4)


def test_checkpoints_that_are_read(make):
    assert make(checkpoint="a.pth", output="quantised", pca="b.pth").provenance["pca"] == {"checkpoint": "b.pth"}
    assert make.loaded == [("vggish", "a.pth"), ("vggish_pca", "b.pth")]
    make(checkpoint="random", output="pca")
    assert make.loaded[2:] == [("vggish", "random"), ("vggish_pca", "random")]
    assert "pca" not in make().provenance


@pytest.mark.parametrize(
    ("rate", "options", "message"),
    [
        (16000, {"hop": 0.961}, "hop is 0.961; expected seconds between patches, a multiple of 0.01"),
        (16000, {"hop": 0.0}, "hop is 0.0"),
        (16000, {"hop": -0.96}, "hop is -0.96"),
        (16000, {"hop": math.nan}, "hop is nan"),
        (16000, {"hop": math.inf}, "hop is inf"),
        (16000, {"hop": 0.48, "output": "fmap"}, "output fmap with hop 0.48; expected hop 0.96"),
        (32000, {}, "vggish: features.sample_rate is 32000; expected 16000 Hz"),
    ],
)
def test_options_that_cannot_be(rate, options, message):
    with pytest.raises(EspretError, match=message):
        Vggish(rate, checkpoint="random", **options)
