"""The bodies of PANNs: their wiring, stretches of long recordings, padding, and what training adds."""

import numpy as np
import pytest
import torch
from filled import fill

from espret.audio.panns import body as panns_body
from espret.audio.panns.body import Cnn10, Cnn14, ResidualBlock, ResNet38


class TinyCnn10(Cnn10):
    widths, dim = (3, 4, 5, 6), 6


class TinyCnn14(Cnn14):
    widths, dim = (3, 4, 5, 6, 7, 8), 8


class TinyResNet38(ResNet38):
    widths, dim = (3, 4, 5, 6), 7


TINY = {body.__name__: body for body in (TinyCnn10, TinyCnn14, TinyResNet38)}
every_body = pytest.mark.parametrize("name", list(TINY))


def tiny(name):
    return fill(TINY[name]())


def spectrograms(*frames):
    generator = torch.Generator().manual_seed(0)
    return [20 * torch.randn(number, 64, generator=generator) - 30 for number in frames]


def padded(clips):
    lengths = torch.tensor([len(clip) for clip in clips])
    return torch.nn.utils.rnn.pad_sequence(clips, batch_first=True), lengths


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
    monkeypatch.setattr(panns_body, "STRETCH", 320)
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
