"""PANNs: the reference's numbers, its wiring, stretches of long recordings, padding, and what training adds."""

import copy
import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from filled import SOURCES, fill, golden, layout, wave

from espret.audio import panns, panns_logmel
from espret.audio.panns import Cnn10, Cnn14, ResidualBlock, ResNet38
from espret.audio.panns_logmel import PannsLogMel
from espret.audio.panns_network import Cnn10Network, Cnn14Network, ResNet38Network
from espret.errors import EspretError
from espret.models.panns_encoder import PannsEncoder

RATE = 32000
CONSTANTS = 2 * 513 * 1024 + 513 * 64  # which the official files count as parameters
NETWORKS = {network.variant: network for network in (Cnn10Network, Cnn14Network, ResNet38Network)}


class TinyCnn10(Cnn10):
    widths, dim = (3, 4, 5, 6), 6


class TinyCnn14(Cnn14):
    widths, dim = (3, 4, 5, 6, 7, 8), 8


class TinyResNet38(ResNet38):
    widths, dim = (3, 4, 5, 6), 7


TINY = {body.__name__: body for body in (TinyCnn10, TinyCnn14, TinyResNet38)}
every_body = pytest.mark.parametrize("name", list(TINY))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small networks wait for their threads longer than they compute where other tests run beside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@functools.cache
def filled(variant):
    """The network with made-up weights; drawing others first would take seconds."""
    with torch.device("meta"):
        frozen = NETWORKS[variant](RATE, checkpoint="random")
    frozen.body.to_empty(device="cpu")
    frozen.front = PannsLogMel(RATE)
    return fill(frozen)


def network(output):
    """A filled CNN10 with another output."""
    with torch.device("meta"):
        other = Cnn10Network(RATE, checkpoint="random", output=output)
    other.front, other.body = filled("cnn10").front, filled("cnn10").body
    return other.eval()


def tiny(name):
    return fill(TINY[name]())


def spectrograms(*frames):
    generator = torch.Generator().manual_seed(0)
    return [20 * torch.randn(number, 64, generator=generator) - 30 for number in frames]


def padded(clips):
    lengths = torch.tensor([len(clip) for clip in clips])
    return torch.nn.utils.rnn.pad_sequence(clips, batch_first=True), lengths


@pytest.mark.parametrize("source", SOURCES)
@torch.inference_mode()
def test_front_end_of_the_reference(source):
    reference, frontend = golden("front_panns", source), PannsLogMel(RATE)
    stft = frontend.spectrogram_extractor["stft"]
    found = {f"{case}_logmel": frontend(reference.wave(case)[None])[0] for case in reference.cases}
    found |= {name: stft[name].weight[:, 0] for name in ("conv_real", "conv_imag")}
    found["melW"] = frontend.logmel_extractor.melW
    assert set(found) == set(reference.arrays)
    reference.check(found)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("variant", ["cnn10", "cnn14"])
@torch.inference_mode()
def test_network_of_the_reference(variant, source):
    reference, frozen = golden(f"panns_{variant}", source), filled(variant)
    body, found = frozen.body, {}
    handles = [body.bn0.register_forward_hook(lambda module, given, made: found.update(bn0=made[:, :, 0, 0]))]
    for name, block in body.named_children():
        if name.startswith("conv_block"):
            keep = functools.partial(lambda name, module, given, made: found.update({name: made[0][0]}), name)
            handles.append(block.register_forward_hook(keep))
    for case in reference.cases:
        logmel = frozen.front(reference.wave(case)[None])
        fmap = body(logmel)
        frames = body.frames(fmap)
        embedding = body.embedding(frames)
        logits = body.logits(embedding)
        found |= {"logmel": logmel[0], "fmap": fmap[0], "frames": frames[0].T, "embedding": embedding[0]}
        reference.check(found | {"logits": logits[0], "clipwise": logits[0].sigmoid()}, case)
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("variant", list(NETWORKS))
def test_keys_of_the_official_files(variant):
    with torch.device("meta"):
        frozen = NETWORKS[variant](RATE, checkpoint="random")
    assert {key: tuple(tensor.shape) for key, tensor in frozen.state_dict().items()} == layout(variant)
    official = {"cnn10": 6302735, "cnn14": 81837071, "resnet38": 74866703}[variant]
    assert sum(parameter.numel() for parameter in frozen.parameters()) == official - CONSTANTS


def test_checkpoint_of_a_file(tmp_path):
    path = tmp_path / "it's a check point.pth"
    state = dict(filled("cnn10").state_dict())
    state["logmel_extractor.melW"] = 10 * state["logmel_extractor.melW"]
    torch.save({"iteration": 7, "model": state}, path)
    frozen = Cnn10Network(RATE, checkpoint=str(path))
    assert all(torch.equal(tensor, state[key]) for key, tensor in frozen.state_dict().items())
    assert frozen.provenance["checkpoint"] == path.name and frozen.provenance["tensors"] == 60
    clip = wave(0, 8000, RATE)[None]
    torch.testing.assert_close(frozen.front(clip), filled("cnn10").front(clip) + 10, atol=1e-4, rtol=0)
    assert torch.equal(PannsEncoder(64, "cnn10", str(path)).body.fc1.weight, state["fc1.weight"])
    del state["spectrogram_extractor.stft.conv_imag.weight"]
    torch.save({"model": state}, path)
    with pytest.raises(EspretError, match=r"check point.pth: .*1 missing \(.*\.conv_imag\.weight\)"):
        Cnn10Network(RATE, checkpoint=str(path))


def test_a_copy_is_a_network_too():
    frozen = filled("cnn10")
    other = copy.deepcopy(frozen)
    with torch.no_grad():
        other.body.fc1.weight.zero_()
    other.load_state_dict(frozen.state_dict())
    assert list(other.state_dict()) == list(frozen.state_dict())
    assert torch.equal(other.body.fc1.weight, frozen.body.fc1.weight) and frozen.body.fc1.weight.any()


@pytest.mark.parametrize("output", ["frames", "map", "embedding", "clipwise"])
@torch.inference_mode()
def test_outputs(output):
    frozen, clips = network(output), torch.stack([wave(seed, 8000, RATE) for seed in (1, 2)])
    body = frozen.body
    fmap = body(frozen.front(clips))
    embedding = body.embedding(body.frames(fmap))[:, None]
    expected, hop = {
        "frames": (fmap.mean(3).transpose(1, 2), 0.16),
        "map": (fmap.permute(0, 2, 1, 3).flatten(2), 0.16),
        "embedding": (embedding, 0.0),
        "clipwise": (body.logits(embedding).sigmoid(), 0.0),
    }[output]
    found = frozen(clips)
    torch.testing.assert_close(found, expected)
    assert found.shape == (2, frozen.frames(8000), frozen.dim) and frozen.hop_seconds == hop
    for clip, frames in zip(clips, found):
        torch.testing.assert_close(frozen(clip[None])[0], frames, atol=1e-3, rtol=1e-4)


def test_facts_of_the_larger_networks_and_the_rate():
    with torch.device("meta"):
        assert Cnn14Network(RATE, "random").hop_seconds == ResNet38Network(RATE, "random").hop_seconds == 0.32
        assert ResNet38Network(RATE, "random", "map").dim == 4096
        assert Cnn14Network(RATE, "random").frames(10 * RATE) == 31
    with pytest.raises(EspretError, match="cnn10.*16000.*32000"):
        Cnn10Network(16000, "random")


@pytest.mark.parametrize("samples", [0, 1, 319, 512, 513, 639, 640, 4799, 4800, 9919, 9920, 20000])
@torch.inference_mode()
def test_frames_of_clips_however_short(samples):
    clip, frontend, frozen = wave(3, samples, RATE)[None], PannsLogMel(RATE), filled("cnn10")
    logmel = frontend(clip)
    assert logmel.shape == (1, frontend.frames(samples), 64) == (1, 1 + max(samples, 513) // 320, 64)
    frames = frozen(clip)
    assert frames.shape == (1, frozen.frames(samples), 512) and torch.isfinite(frames).all()
    assert torch.equal(frames, frozen(F.pad(clip, (0, max(0, 4800 - samples)))))


@torch.inference_mode()
def test_silence_and_clipping():
    frontend, frozen = PannsLogMel(RATE), filled("cnn10")
    assert torch.equal(frontend(torch.zeros(1, 5000)), torch.full((1, 16, 64), -100.0))
    for kind in ("silence", "clip"):
        assert torch.isfinite(frozen(wave(0, 9000, RATE, kind)[None])).all()


@torch.inference_mode()
def test_front_end_in_stretches_of_a_batch_and_in_single_precision(monkeypatch):
    frontend = PannsLogMel(RATE)
    clips = torch.stack([wave(seed, 50 * 320 + 11, RATE) for seed in range(3)])
    whole = frontend(clips)
    monkeypatch.setitem(panns_logmel.SPECTRA, "cpu", 1)  # 32 frames at a time are the least
    torch.testing.assert_close(frontend(clips), whole, atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cat([frontend(clip[None]) for clip in clips]), whole, atol=1e-4, rtol=0)
    precise = frontend(clips)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(frontend(clips), precise)


@torch.inference_mode()
def test_half_precision_gives_single():
    clip = wave(5, 16000, RATE)[None]
    for output in ("frames", "map", "embedding", "clipwise"):
        frozen = network(output)
        precise = frozen(clip)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = frozen(clip)
        assert rough.dtype == torch.float32
        assert 0 < (rough - precise).abs().max() < 0.05 * precise.abs().max()


def conv(maps, weight):
    """[channels, frames, bins]: a 3x3 or 1x1 convolution, zeros around."""
    reach = weight.shape[2] // 2
    maps = np.pad(maps, ((0, 0), (reach, reach), (reach, reach)))
    windows = np.lib.stride_tricks.sliding_window_view(maps, weight.shape[2:], (1, 2))
    return np.einsum("cfbij,ocij->ofb", windows, weight)


def norm(maps, state, name):
    mean, variance, weight, bias = (
        state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (maps - mean) / np.sqrt(variance + 1e-5) * weight + bias


def pool(maps):
    frames, bins = maps.shape[1] // 2 * 2, maps.shape[2] // 2 * 2
    return maps[:, :frames, :bins].reshape(len(maps), frames // 2, 2, bins // 2, 2).mean((2, 4))


def conv_block(maps, state, name):
    for number in "12":
        maps = np.maximum(0, norm(conv(maps, state[f"{name}.conv{number}.weight"]), state, f"{name}.bn{number}"))
    return maps


def residual_block(maps, state, name):
    """He et al. (2016), basic block; where it halves, means of 2 x 2 come before the first convolution of each way."""
    halves = f"{name}.downsample.1.weight" in state
    way = pool(maps) if halves else maps
    way = np.maximum(0, norm(conv(way, state[f"{name}.conv1.weight"]), state, f"{name}.bn1"))
    way = norm(conv(way, state[f"{name}.conv2.weight"]), state, f"{name}.bn2")
    if halves:
        maps = norm(conv(pool(maps), state[f"{name}.downsample.1.weight"]), state, f"{name}.downsample.2")
    return np.maximum(0, way + maps)


def arrays(module):
    return {key: tensor.double().numpy() for key, tensor in module.state_dict().items()}


@pytest.mark.parametrize("halves", [False, True])
@torch.inference_mode()
def test_a_residual_block_by_hand(halves):
    block = fill(ResidualBlock(4, 6 if halves else 4, pool=halves))
    maps = torch.randn(1, 4, 7, 6, generator=torch.Generator().manual_seed(0))
    found, _ = block(maps)
    state = {f"block.{key}": array for key, array in arrays(block).items()}
    expected = residual_block(maps[0].double().numpy(), state, "block")
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


@torch.inference_mode()
def test_resnet38_by_hand():
    body, (logmel,) = tiny("TinyResNet38"), spectrograms(75)
    state = arrays(body)
    maps = norm(logmel.double().numpy().T[:, None], state, "bn0")[:, 0].T[None]
    maps = pool(conv_block(maps, state, "conv_block1"))
    for layer, blocks in enumerate((3, 4, 6, 3), 1):
        for block in range(blocks):
            maps = residual_block(maps, state, f"resnet.layer{layer}.{block}")
    expected = conv_block(pool(maps), state, "conv_block_after1")
    assert expected.shape == (7, 2, 2)
    np.testing.assert_allclose(body(logmel[None])[0], expected, atol=1e-4 * np.abs(expected).max())


@every_body
@torch.inference_mode()
def test_long_recordings_in_stretches(name, monkeypatch):
    body = tiny(name)
    clips = spectrograms(1029, 700, 64)
    whole = [body(clip[None]) for clip in clips]
    batch = body(*padded(clips))
    monkeypatch.setattr(panns, "STRETCH", 320)
    for clip, fmap in zip(clips, whole):
        torch.testing.assert_close(body(clip[None]), fmap, atol=1e-5 * fmap.max().item(), rtol=0)
    torch.testing.assert_close(body(*padded(clips)), batch, atol=1e-5 * batch.max().item(), rtol=0)


@every_body
def test_reach(name):
    body = tiny(name).double()
    middle = body.reach // body.pooling + 1
    logmel = spectrograms((2 * middle + 1) * body.pooling)[0][None].double().requires_grad_()
    (gradient,) = torch.autograd.grad(body(logmel)[:, :, middle].sum(), logmel)
    heard = gradient[0].any(1).nonzero()[:, 0]
    before = middle * body.pooling - heard.min().item()
    after = heard.max().item() - (middle + 1) * body.pooling + 1
    assert body.reach - body.pooling < before <= body.reach and body.reach - body.pooling < after <= body.reach


@every_body
@pytest.mark.parametrize("training", [False, True])
def test_gradients(name, training):
    body, logmel = tiny(name).double().train(training), torch.stack(spectrograms(70, 70)).double()
    body.spec_augment = False
    given = {key: weight for key, weight in body.named_parameters() if not key.startswith("fc")} | {"logmel": logmel}
    generator = torch.Generator().manual_seed(1)
    steps = {key: torch.randn(tensor.shape, generator=generator) for key, tensor in given.items()}

    def value(size):
        torch.manual_seed(0)  # of dropout
        moved = {key: tensor + size * steps[key] for key, tensor in given.items()}
        return torch.func.functional_call(body, moved, (moved.pop("logmel"),)).square().mean()

    size = torch.zeros((), dtype=torch.double, requires_grad=True)
    (slope,) = torch.autograd.grad(value(size), size)
    with torch.no_grad():
        found = (value(1e-7) - value(-1e-7)) / 2e-7
    assert found.item() == pytest.approx(slope.item(), rel=1e-5)


@every_body
@torch.inference_mode()
def test_padding_does_not_change_a_clips_map(name):
    body, clips = tiny(name), spectrograms(131, 5, 64, 97, 1)
    logmel, lengths = padded(clips)
    together, pooled = body(logmel, lengths), body.pooled(lengths)
    frames = body.frames(together)
    embeddings = body.embedding(frames, pooled)
    for clip, fmap, count, embedding in zip(clips, together, pooled, embeddings):
        alone = body(clip[None])
        assert alone.shape[2] == count and not fmap[:, count:].any()
        torch.testing.assert_close(fmap[:, :count], alone[0], atol=1e-5 * alone.max().item(), rtol=1e-4)
        torch.testing.assert_close(embedding, body.embedding(body.frames(alone))[0], atol=1e-3, rtol=1e-4)


@torch.inference_mode()
def test_encoder_gives_what_the_network_gives():
    encoder = PannsEncoder(64, "cnn10", "random").eval()
    pooled = PannsEncoder(64, "cnn10", "random", output="embedding").eval()
    encoder.body = pooled.body = filled("cnn10").body
    clips = [wave(seed, samples, RATE) for seed, samples in enumerate((12000, 20000))]
    feats, lengths = padded([PannsLogMel(RATE)(clip[None])[0] for clip in clips])
    frames, counts = encoder(feats, lengths)
    embeddings, ones = pooled(feats, lengths)
    assert encoder.dim == frames.shape[2] == 512 and ones.tolist() == [1, 1]
    for clip, found, count, embedding in zip(clips, frames, counts, embeddings):
        torch.testing.assert_close(found[:count], filled("cnn10")(clip[None])[0], atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(embedding, network("embedding")(clip[None])[0], atol=1e-3, rtol=1e-4)
    with pytest.raises(EspretError, match="128 dimensions.*panns_logmel"):
        PannsEncoder(128, "cnn10", "random")


def test_all_that_an_encoder_trains_gets_gradients():
    for output in ("frames", "embedding"):
        encoder = PannsEncoder(64, "cnn10", "random", output=output)
        vectors, _ = encoder(*padded(spectrograms(40, 70)))
        vectors.square().sum().backward()
        missing = [name for name, weight in encoder.named_parameters() if weight.requires_grad and weight.grad is None]
        assert not missing


@every_body
def test_stripes_in_training_only(name):
    body = tiny(name)
    seen = []
    body.conv_block1.register_forward_hook(lambda module, given, made: seen.append(given[0][:, 0]))
    logmel, lengths = padded(spectrograms(400, 300))
    body.train()(logmel, lengths)
    body.spec_augment = False
    body(logmel, lengths)
    striped, plain = seen
    assert torch.equal(striped[striped != 0], plain[striped != 0])
    for clip, length in zip(striped, lengths):
        times = (clip[:length] == 0).all(1)
        bands = (clip[:length][~times] == 0).all(0)
        assert times.sum() <= 2 * 63 and bands.sum() <= 2 * 7
        assert not (clip[:length][~times][:, ~bands] == 0).any()
    assert (striped == 0).sum() > (plain == 0).sum()
    seen.clear()
    fill(body)(logmel)
    assert (seen[0] != 0).all()


def test_statistics_are_those_of_valid_frames():
    clips = spectrograms(64, 40)
    logmel, lengths = padded(clips)
    logmel[1, 40:] = 1e6
    body = TinyCnn10(spec_augment=False).train()
    body(logmel, lengths)
    torch.testing.assert_close(body.bn0.running_mean, 0.1 * torch.cat(clips).mean(0))


def test_dropout_in_training_only():
    body, (logmel,) = tiny("TinyCnn14"), spectrograms(64)
    assert torch.equal(body(logmel[None]), body(logmel[None]))
    torch.manual_seed(0)
    body.train()
    body.spec_augment = False
    dropped = [body(logmel[None]) for _ in range(2)]
    assert not torch.equal(*dropped)
