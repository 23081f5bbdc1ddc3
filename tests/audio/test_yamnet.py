"""YAMNet: the reference's numbers from waveform to predictions, its padding, and its weights as Keras has them."""

import h5py
import pytest
import torch
from filled import SOURCES, golden, layout, tensors, wave
from torch.nn.functional import conv2d, pad

from espret.audio import yamnet
from espret.audio.yamnet import ConvNorm, Yamnet, YamnetBody, YamnetLogMel
from espret.errors import EspretError

PATCH = 15600  # samples that a patch hears
HOP = 7680  # samples of 0.48 s


@pytest.fixture(scope="module")
def body():
    network = YamnetBody().eval()
    network.load_state_dict(network.from_keras(tensors("yamnet")))
    return network


@pytest.fixture
def make(body, monkeypatch):
    """A function that makes a Yamnet with made-up weights."""
    monkeypatch.setattr(yamnet, "load_network", lambda name, checkpoint, kind: (body, {"checkpoint": checkpoint}))
    return lambda **options: Yamnet(16000, **options).eval()


def keep(found, name):
    """A hook that keeps what a layer makes, channels last."""
    return lambda module, given, made: found.update({name: made.permute(0, 2, 3, 1).clone()})


@pytest.mark.parametrize("source", SOURCES)
@torch.inference_mode()
def test_spectrogram_of_the_reference(source, make):
    reference = golden("front_yamnet", source)
    for case in reference.cases:
        samples = reference.wave(case)[None]
        found = {}
        for hop in (48, 96):
            found[f"hop{hop}_logmel"] = YamnetLogMel(16000, hop / 100)(samples)[0]
            found[f"hop{hop}_patches"] = make(hop=hop / 100).patches(samples)[0]
        reference.check(found, case)
    reference.check({"mel_matrix": YamnetLogMel(16000).bands})


@pytest.mark.parametrize("source", SOURCES)
@torch.inference_mode()
def test_outputs_of_the_reference(source, body, make):
    reference = golden("yamnet", source)
    for case in reference.cases:
        found = {}
        layers = ("layer1", "layer2", "layer3", "layer6", "layer13")
        hooks = [body.get_submodule(name).register_forward_hook(keep(found, name)) for name in layers]
        samples = reference.wave(case)[None]
        found["logmel"] = YamnetLogMel(16000)(samples)[0]
        found["patches"] = make().patches(samples)[0]
        found["fmap"] = body.maps(found["patches"]).permute(0, 2, 3, 1)
        for hook in hooks:
            hook.remove()
        for output in ("embedding", "logits", "predictions"):
            network = make(output=output)
            found[output] = network(samples)[0]
            assert found[output].shape == (network.frames(samples.shape[1]), network.dim)
        reference.check(found, case)


def test_keys_of_the_file_for_torch():
    state = YamnetBody().state_dict()
    assert [(key, tuple(tensor.shape)) for key, tensor in state.items()] == list(layout("yamnet_torch_port").items())


def test_weights_as_keras_has_them(body):
    kernels = {"layer3/depthwise_conv/layer3/depthwise_conv/depthwise_kernel:0": (2, 1, 5, 0)}
    kernels["layer9/pointwise_conv/layer9/pointwise_conv/kernel:0"] = (0, 0, 7, 8)
    kernels["layer1/conv/layer1/conv/kernel:0"] = (0, 2, 0, 3)
    keras, state = tensors("yamnet"), body.state_dict()
    found = [keras[key][place] for key, place in kernels.items()]
    assert found == [
        state["layer3.depthwise_conv.conv.weight"][5, 0, 2, 1],
        state["layer9.pointwise_conv.conv.weight"][8, 7, 0, 0],
        state["layer1.fused.conv.weight"][3, 0, 0, 2],
    ]
    assert torch.equal(state["layer14.pointwise_conv.bn.weight"], torch.ones(1024))


def test_classifier_of_the_current_code_and_norms_that_scale(body):
    keras = {key.replace("logits", "dense"): tensor for key, tensor in tensors("yamnet").items()}
    scale = torch.rand(32)
    keras["layer1/conv/bn/layer1/conv/bn/gamma:0"] = scale
    for given in (keras, dict(reversed(keras.items()))):
        found = body.from_keras(given)
        assert set(found) == set(body.state_dict())
        assert torch.equal(found["classifier.weight"], body.classifier.weight)
        assert torch.equal(found["layer1.fused.bn.weight"], scale)


def test_layers_that_are_written_once(body):
    keras = {
        key[key.index("/layer") + 1 :].removesuffix(":0"): tensor
        for key, tensor in tensors("yamnet").items()
        if "/layer" in key
    }
    shapes = {key: tensor.shape for key, tensor in body.state_dict().items() if "classifier" not in key}
    assert {key: tensor.shape for key, tensor in body.from_keras(keras).items()} == shapes


def test_tensors_of_another_network_get_no_name_of_this_one(body):
    others = {"conv2d_3/conv2d_3/kernel:0": torch.ones(2, 3), "weights": torch.ones(2), "a/b/c/d": torch.ones(2)}
    assert list(body.from_keras(others)) == ["conv2d_3.weight", "weights", "a.b.c.d"]


@pytest.mark.parametrize(
    ("hop", "samples", "patches"),
    [
        (0.48, 1, 1),
        (0.48, PATCH, 1),
        (0.48, PATCH + 1, 2),
        (0.48, PATCH + HOP, 2),
        (0.48, PATCH + HOP + 1, 3),
        (0.96, PATCH + 1, 2),
        (0.96, PATCH + 2 * HOP, 2),
        (0.96, PATCH + 2 * HOP + 1, 3),
        (0.24, PATCH + HOP, 3),
    ],
)
@torch.inference_mode()
def test_clips_are_padded_to_whole_patches(hop, samples, patches, make):
    network = make(hop=hop)
    clip = wave(1, samples, 16000)[None]
    found = network.patches(clip)
    assert (network.frames(samples), tuple(found.shape)) == (patches, (1, patches, 96, 64))
    length = PATCH + (patches - 1) * round(hop * 16000)
    torch.testing.assert_close(network.front(clip), network.front(pad(clip, (0, length - samples))))
    assert network.front.frames(samples) == 1 + (length - 400) // 160 == network.front(clip).shape[1]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "zeros"), [(96, 3, 2, (0, 1)), (3, 3, 2, (1, 1)), (6, 3, 1, (1, 1)), (6, 1, 1, (0, 0))]
)
@torch.inference_mode()
def test_zeros_around_maps(size, kernel, stride, zeros):
    layer, x = ConvNorm(1, 1, kernel, stride).eval(), torch.randn(1, 1, size, 4)
    expected = conv2d(
        pad(x, ((kernel == 3) * (stride == 1), int(kernel == 3), *zeros)), layer.conv.weight, stride=stride
    )
    torch.testing.assert_close(layer(x), expected.div(1.0001**0.5).relu())


@torch.inference_mode()
def test_silence(make):
    found = make(output="predictions")(torch.zeros(1, 3 * PATCH))
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found, found[:, :1].expand_as(found), rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_clips_of_any_lengths_together_are_as_alone(make):
    network = make()
    network.at_a_time = 3
    clips = [wave(seed, samples, 16000) for seed, samples in enumerate((PATCH + 2 * HOP, 100, PATCH + HOP + 5))]
    found = network.extract(clips)
    assert [len(tokens) for tokens in found] == [network.frames(len(clip)) for clip in clips] == [3, 1, 3]
    for clip, tokens in zip(clips, found):
        torch.testing.assert_close(tokens, network(clip[None])[0], rtol=1e-4, atol=1e-4)


def test_training_goes_by_the_batch(body):
    patches = torch.randn(4, 96, 64)
    network = YamnetBody().train()
    network.load_state_dict(body.state_dict())
    found = network(patches)
    found.sum().backward()
    assert not torch.allclose(found, body(patches), atol=0.01)
    assert network.layer1.fused.bn.num_batches_tracked == 1
    assert {name for name, value in network.named_parameters() if value.grad is None} == {
        name for name, value in network.named_parameters() if name.endswith("bn.weight") or "classifier" in name
    }


@pytest.mark.parametrize("name", ["yamnet 'a'.h5", "yamnet.pth"])
def test_both_files_of_weights(name, tmp_path, body):
    path = tmp_path / name
    if path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for key, tensor in tensors("yamnet").items():
                file[key] = tensor.numpy()
    else:
        torch.save(body.state_dict(), path)
    network = Yamnet(16000, checkpoint=str(path))
    assert network.provenance["checkpoint"] == name
    for key, tensor in body.state_dict().items():
        assert torch.equal(network.body.state_dict()[key], tensor), key


@pytest.mark.parametrize(
    ("rate", "options", "message"),
    [
        (16000, {"hop": 0.485}, "yamnet: hop is 0.485; expected seconds between patches, a multiple of 0.01"),
        (44100, {}, "yamnet: features.sample_rate is 44100; expected 16000 Hz"),
    ],
)
def test_options_that_cannot_be(rate, options, message):
    with pytest.raises(EspretError, match=message):
        Yamnet(rate, checkpoint="random", **options)
