"""PANNs as frozen networks: the reference's numbers, its files, outputs, short clips."""

import functools

import pytest
import torch
import torch.nn.functional as F
from filled import SOURCES, golden, layout, tensors, wave

from espret.audio.panns import network
from espret.audio.panns.logmel import PannsLogMel, constants
from espret.audio.panns.network import Cnn10Network, Cnn14Network, ResNet38Network
from espret.errors import EspretError

RATE = 32000
CONSTANTS = 2 * 513 * 1024 + 513 * 64  # which the official files count as parameters
NETWORKS = {kind.variant: kind for kind in (Cnn10Network, Cnn14Network, ResNet38Network)}
BODIES = {name: kind.body_type for name, kind in NETWORKS.items()}


@functools.cache
def filled(variant):
    """A body with made-up weights; drawing others first would take seconds."""
    with torch.device("meta"):
        body = BODIES[variant]().eval()
    for name, constant in constants().items():
        body.register_module(name, constant)
    body.load_state_dict(tensors(variant), strict=False, assign=True)
    return body.to(memory_format=torch.channels_last)


@pytest.fixture
def frozen(monkeypatch):
    """Makes a network with made-up weights."""
    monkeypatch.setattr(network, "load_network", lambda variant, *_: (filled(variant), {}))
    return lambda variant="cnn10", **options: NETWORKS[variant](RATE, **options).eval()


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("variant", ["cnn10", "cnn14"])
@torch.inference_mode()
def test_network_of_the_reference(variant, source, frozen):
    reference, made = golden(f"panns_{variant}", source), frozen(variant)
    body, found = made.body, {}
    handles = [body.bn0.register_forward_hook(lambda module, given, out: found.update(bn0=out[:, :, 0, 0]))]
    for name, block in body.named_children():
        if name.startswith("conv_block"):
            keep = functools.partial(lambda name, module, given, out: found.update({name: out[0][0]}), name)
            handles.append(block.register_forward_hook(keep))
    for case in reference.cases:
        logmel = made.front(reference.wave(case)[None])
        fmap = body(logmel)
        frames = body.frames(fmap)
        embedding = body.embedding(frames)
        logits = body.logits(embedding)
        found |= {"logmel": logmel[0], "fmap": fmap[0], "frames": frames[0].T, "embedding": embedding[0]}
        reference.check(found | {"logits": logits[0], "clipwise": logits[0].sigmoid()}, case)
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("variant", list(BODIES))
def test_keys_of_the_official_files(variant):
    with torch.device("meta"):
        body = BODIES[variant]()
    assert {key: tuple(tensor.shape) for key, tensor in body.state_dict().items()} == layout(variant)
    official = {"cnn10": 6302735, "cnn14": 81837071, "resnet38": 74866703}[variant]
    assert sum(parameter.numel() for parameter in body.parameters()) == official - CONSTANTS


def test_checkpoint_of_a_file(tmp_path):
    path = tmp_path / "it's a check point.pth"
    state = dict(filled("cnn10").state_dict())
    state["logmel_extractor.melW"] = 10 * state["logmel_extractor.melW"]
    torch.save({"iteration": 7, "model": state}, path)
    loaded = Cnn10Network(RATE, checkpoint=str(path))
    assert all(torch.equal(tensor, state[key]) for key, tensor in loaded.body.state_dict().items())
    assert loaded.provenance["checkpoint"] == path.name and loaded.provenance["tensors"] == 60
    clip = wave(0, 8000, RATE)[None]
    torch.testing.assert_close(loaded.front(clip), PannsLogMel(RATE)(clip) + 10, atol=1e-4, rtol=0)
    del state["spectrogram_extractor.stft.conv_imag.weight"]
    torch.save({"model": state}, path)
    with pytest.raises(EspretError, match=r"check point.pth: .*1 missing \(.*\.conv_imag\.weight\)"):
        Cnn10Network(RATE, checkpoint=str(path))


@pytest.mark.parametrize("output", ["frames", "map", "embedding", "clipwise"])
@torch.inference_mode()
def test_outputs(output, frozen):
    made, clips = frozen(output=output), torch.stack([wave(seed, 8000, RATE) for seed in (1, 2)])
    body = made.body
    fmap = body(made.front(clips))
    embedding = body.embedding(body.frames(fmap))[:, None]
    expected, hop = {
        "frames": (fmap.mean(3).transpose(1, 2), 0.16),
        "map": (fmap.permute(0, 2, 1, 3).flatten(2), 0.16),
        "embedding": (embedding, 0.0),
        "clipwise": (body.logits(embedding).sigmoid(), 0.0),
    }[output]
    found = made(clips)
    torch.testing.assert_close(found, expected)
    assert found.shape == (2, made.frames(8000), made.dim) and made.hop_seconds == hop
    for clip, frames in zip(clips, found):
        torch.testing.assert_close(made(clip[None])[0], frames, atol=1e-3, rtol=1e-4)


def test_facts_of_the_larger_networks_and_the_rate(frozen):
    assert (frozen("cnn14").hop_seconds, frozen("cnn14").frames(10 * RATE)) == (0.32, 31)
    assert frozen("cnn14", output="map").dim == 4096
    with pytest.raises(EspretError, match="cnn10.*16000.*32000"):
        Cnn10Network(16000, "random")


@pytest.mark.parametrize("samples", [0, 1, 4799, 4800, 9919, 9920])
@torch.inference_mode()
def test_frames_of_clips_however_short(samples, frozen):
    made, clip = frozen(), wave(3, samples, RATE)[None]
    frames = made(clip)
    assert frames.shape == (1, made.frames(samples), 512) and torch.isfinite(frames).all()
    assert torch.equal(frames, made(F.pad(clip, (0, max(0, 4800 - samples)))))


@pytest.mark.parametrize("kind", ["silence", "clip"])
@torch.inference_mode()
def test_silence_and_clipping(kind, frozen):
    assert torch.isfinite(frozen()(wave(0, 9000, RATE, kind)[None])).all()


@torch.inference_mode()
def test_half_precision_gives_single(frozen):
    clip = wave(5, 16000, RATE)[None]
    for output in ("frames", "map", "embedding", "clipwise"):
        made = frozen(output=output)
        precise = made(clip)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = made(clip)
        assert rough.dtype == torch.float32
        assert 0 < (rough - precise).abs().max() < 0.05 * precise.abs().max()
