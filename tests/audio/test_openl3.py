"""OpenL3: the reference's numbers with each of its front ends, its windows, and Keras's files."""

import re

import h5py
import pytest
import torch
from filled import SOURCES, golden, tensors, wave

from espret.audio.checkpoint import load_checkpoint
from espret.audio.openl3 import PADDING, OpenL3, OpenL3Body, OpenL3LogMel, embeddings
from espret.errors import EspretError

VARIANTS = {
    "logmel_kapre": "kapre03",
    "logmel_kapre014": "kapre014",
    "logmel_librosa_constant": "librosa",
    "logmel_librosa_reflect": "librosa_reflect",
}


@pytest.fixture(scope="module")
def weights():
    return tensors("openl3_mel128")


@pytest.fixture(scope="module")
def body(weights):
    made = OpenL3Body()
    made.load_state_dict(made.from_keras(weights), strict=False)
    return made.eval()


@pytest.fixture
def network(body):
    def make(**options):
        made = OpenL3(48000, "random", **options)
        made.body = body
        return made.eval()

    return make


def heard(make, reference, case, **options):
    """The network of a case, and its windows."""
    facts = reference.cases[case]
    made = make(hop=facts["hop_seconds"], center=facts["center"], **options)
    return made, made.patches(reference.wave(case)[None])[0]


@pytest.mark.parametrize("source", SOURCES)
@torch.inference_mode()
def test_outputs_of_the_reference(source, network):
    reference = golden("openl3", source)
    layers = {"batch_normalization": "bn0", "audio_embedding_layer": "fmap"}
    layers |= {f"max_pooling2d_{number}": f"pool{number}" for number in (1, 2, 3)}
    for case in reference.cases:
        made, windows = heard(network, reference, case)
        found = {"logmel": made.front(windows)}

        def keep(name, found=found):
            return lambda module, given, out: found.__setitem__(name, out.permute(0, 2, 3, 1))

        hooks = [made.body.get_submodule(layer).register_forward_hook(keep(name)) for layer, name in layers.items()]
        found["embedding512"] = made(reference.wave(case)[None])[0]
        for hook in hooks:
            hook.remove()
        found["embedding6144"] = embeddings(found["fmap"].permute(0, 3, 1, 2), 6144)
        reference.check(found, case)


@pytest.mark.parametrize("source", SOURCES)
@torch.inference_mode()
def test_front_ends_of_the_reference(source, network):
    reference = golden("front_openl3", source)
    for case in reference.cases:
        made, windows = heard(network, reference, case, frontend="kapre014")
        found = {name: OpenL3LogMel(frontend)(windows) for name, frontend in VARIANTS.items()}
        reference.check(found | {"embedding512_kapre014": made.embed(windows)}, case)
    reference.check({"mel_matrix": OpenL3LogMel().bands})


@pytest.mark.parametrize("frontend", PADDING)
def test_silence_is_0_and_what_is_far_below_the_maximum_80_below(frontend):
    quiet = wave(1, 48000, 48000, "gap") * torch.linspace(1e-12, 1, 48000).square()
    found = OpenL3LogMel(frontend)(torch.stack([torch.zeros(48000), quiet]))
    assert found.shape == (2, 128, 199)
    assert not found[0].any()
    assert found[1].max() == 0 and found[1, :, 20].eq(-80).all()


def test_front_ends_are_float32_under_autocast():
    windows = wave(1, 48000, 48000)[None]
    with torch.autocast("cpu", torch.bfloat16):
        found = OpenL3LogMel()(windows)
    assert torch.equal(found, OpenL3LogMel()(windows))


@pytest.mark.parametrize(
    "samples, options, frames",
    [
        (96000, {"hop": 0.1}, 16),  # as in the reference's own regression files
        (96000, {"hop": 0.5, "center": False}, 3),
        (1, {}, 1),
        (24000, {}, 1),
        (24001, {}, 2),
        (48001, {"hop": 1.0, "center": False}, 2),
    ],
)
def test_windows(samples, options, frames, network):
    made = network(**options)
    ramp = torch.arange(1.0, samples + 1)
    windows = made.patches(ramp[None])[0]
    assert windows.shape == (frames, 48000) and made.frames(samples) == frames
    line = torch.cat([torch.zeros(24000 if options.get("center", True) else 0), ramp, torch.zeros(96000)])
    hop = int(48000 * options.get("hop", 0.1))
    assert all(torch.equal(window, line[hop * n : hop * n + 48000]) for n, window in enumerate(windows))
    assert made.hop_seconds == pytest.approx(options.get("hop", 0.1))


@torch.inference_mode()
def test_a_clip_alone_and_among_others(network):
    made = network(hop=0.5)
    made.at_a_time = 2
    clips = [wave(seed, samples, 48000) for seed, samples in ((1, 100), (2, 30000))]
    together = made.extract(clips)
    assert [len(frames) for frames in together] == [1, 2]
    torch.testing.assert_close(together[1], made(clips[1][None])[0], atol=1e-2, rtol=0)


@torch.inference_mode()
def test_frames_are_float32_under_autocast(network):
    made = network(embedding=6144)
    clip = wave(1, 20000, 48000)[None]
    with torch.autocast("cpu", torch.bfloat16):
        found = made(clip)
    expected = made(clip)
    assert found.shape == (1, 1, made.dim) == (1, 1, 6144) and found.dtype == torch.float32
    assert 0 < (found - expected).abs().max() < 0.05 * expected.abs().max()


def test_file_of_keras_whose_layers_have_other_numbers(tmp_path, weights, body):
    path = tmp_path / 'a "b" c.h5'
    with h5py.File(path, "w") as file:
        layers, names = {}, ["input_1"]
        for key, tensor in weights.items():
            layers.setdefault(key.split("/")[0], []).append((key.split("/")[-1], tensor))
        for number, (layer, values) in enumerate(layers.items()):
            name = f"{layer.rstrip('_0123456789')}_{number + 9}"
            names += [name, f"activation_{number}"]
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{last}".encode() for last, _ in values]
            for last, tensor in values:
                group[f"{name}/{last}"] = tensor.numpy()
        for name in names:
            file.require_group(name).attrs.setdefault("weight_names", [])
        file.attrs["layer_names"] = [name.encode() for name in names]
    made = OpenL3Body()
    assert load_checkpoint(made, path)["tensors"] == 48
    assert all(torch.equal(tensor, made.state_dict()[key]) for key, tensor in body.state_dict().items())


@pytest.mark.parametrize("first", [0, 5])  # 5: some numbers of layers have two digits
def test_tensors_sorted_by_name_as_safetensors_has_them(first, weights, body):
    def numbered(old):
        return f"{old[1]}_{int(old[3] or 0) + first}"

    named = {
        re.sub("(conv2d|normalization)(_([0-9]+))?(?=/)", numbered, key): tensor for key, tensor in weights.items()
    }
    found = body.from_keras(dict(sorted(named.items())))
    expected = body.from_keras(weights)
    assert found.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in found.items())


def test_tensors_of_another_network_are_refused(weights):
    body = OpenL3Body()
    some = dict(list(weights.items())[:-2])
    with pytest.raises(EspretError, match="15 layers with weights .batch_normalization/.*; expected the 16 of"):
        body.from_keras(some)
    with pytest.raises(EspretError, match="tensor 'last/freq2mel'; expected kernel"):
        body.from_keras(some | {"last/freq2mel:0": torch.zeros(3)})


@pytest.mark.parametrize("last", ["conv2d_3/kernel:0", "conv2d_3/bias:0", "batch_normalization_2/gamma:0"])
def test_a_missing_tensor_is_named(last, weights, tmp_path):
    torch.save({key: tensor for key, tensor in weights.items() if not key.endswith(last)}, tmp_path / "x")
    name = last.replace("/kernel:0", ".weight").replace("/bias:0", ".bias").replace("/gamma:0", ".weight")
    with pytest.raises(EspretError, match=f"of its 56 tensors 1 missing .{name}.;"):
        load_checkpoint(OpenL3Body(), tmp_path / "x")


@pytest.mark.parametrize("hop", [0.0, -1.0, 1e-6, float("nan"), float("inf")])
def test_a_hop_that_is_none_is_refused(hop):
    with pytest.raises(EspretError, match="hop is .*; expected seconds between windows"):
        OpenL3(48000, "random", hop=hop)


def test_another_rate_is_refused():
    with pytest.raises(EspretError, match="sample_rate is 44100; expected 48000"):
        OpenL3(44100, "random")
