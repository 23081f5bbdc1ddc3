"""PaSST: the reference's numbers, patchout, and how clips become segments and these vectors again."""

import pytest
import torch
from filled import SOURCES, golden, layout, tensors, value, wave
from torch import nn
from torch.nn.functional import pad

from espret.audio.passt import body as passt_body
from espret.audio.passt import network as passt_network
from espret.audio.passt.body import VARIANTS, Passt, Variant
from espret.audio.passt.mel import PasstMel
from espret.audio.passt.network import PasstN, PasstS
from espret.errors import EspretError

TINY = Variant(stride=16, positions=6, depth=1, seconds=1)
SEGMENT = 32000  # samples
COLUMNS = 6  # of a segment
LENGTHS = [SEGMENT, 2 * SEGMENT + 9600, 1, SEGMENT + 1, 9600]


@pytest.fixture(scope="module")
def weights():
    return tensors("passt_n")


@pytest.fixture
def unfilled(monkeypatch):
    """Makes a transformer that has no values yet: to draw some for it, torch would import its compiler for seconds."""
    monkeypatch.setattr(passt_body, "_small", lambda *shape: nn.Parameter(torch.empty(shape)))

    def make(name):
        with torch.device("meta"):
            return Passt(name).eval()

    return make


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(VARIANTS, "passt_s", TINY)


def network(**options):
    return PasstS(32000, checkpoint="random", **options).eval()


@pytest.mark.parametrize("name", list(VARIANTS))
def test_keys_of_the_official_files(name, unfilled):
    state = unfilled(name).state_dict()
    assert [(key, tuple(tensor.shape)) for key, tensor in state.items()] == list(layout(name).items())


def test_positions_of_a_segment():
    frames = {name: PasstMel(32000).frames(size.seconds * 32000) for name, size in VARIANTS.items()}
    used = {name: (size.rows, size.columns(frames[name])) for name, size in VARIANTS.items()}
    assert used == {"passt_n": (8, 62), "passt_s": (12, 99), "passt_l": (12, 99), "passt_s20": (12, 199)}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", ["passt_n", "passt_s"])
@torch.inference_mode()
def test_outputs_of_the_reference(name, source, weights, unfilled):
    reference = golden(name, source)
    own = {key: layout(name)[key] for key in ("freq_new_pos_embed", "time_new_pos_embed")}  # the others are the same
    body = unfilled(name)
    body.load_state_dict(weights | {key: torch.from_numpy(value(key, own[key])) for key in own}, assign=True)
    found = {}
    body.patch_embed["proj"].register_forward_hook(lambda module, given, made: found.update(patch=made[0]))
    body.blocks[0].register_forward_hook(lambda module, given, made: found.update(block0=made[0]))
    for case in reference.cases:
        mel = PasstMel(32000).eval()(reference.wave(case)[None])
        embedding = body.embedding(mel)
        cls, dist, patches, _ = body(mel)
        found |= {"mel": mel[0].T, "cls": cls[0], "dist": dist[0], "embedding": embedding[0]}
        found |= {"tokens": torch.cat([cls, dist, patches[0].flatten(0, 1)]), "frames": patches[0].mean(0)}
        found |= {"logits": body.logits(embedding)[0], "logits_dist": body.head_dist(dist)[0]}
        reference.check(found, case)


@pytest.mark.usefixtures("tiny")
@torch.inference_mode()
def test_embedding_is_the_mean_of_both_tokens():
    body = network().body
    mel = PasstMel(32000).eval()(wave(1, 2 * 20000, 32000).view(2, -1))
    tokens = body(mel)
    assert ((tokens.cls + tokens.dist) / 2 - body.embedding(mel)).abs().max() < 1e-5


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("frames", [15, 112])
def test_spectrograms_that_do_not_fit(frames):
    body = network().body
    assert [body(torch.zeros(1, fits, 128)).patches.shape for fits in (16, 111)] == [(1, 8, 1, 768), (1, 8, 6, 768)]
    with pytest.raises(EspretError, match=f"passt_s: a spectrogram of {frames} frames; expected 16 to 111"):
        body(torch.zeros(1, frames, 128))


def test_patchout_leaves_out_rows_and_columns_in_training(monkeypatch):
    monkeypatch.setitem(VARIANTS, "passt_s", TINY._replace(depth=0))  # tokens are as they were put in
    torch.manual_seed(1)
    body = Passt("passt_s", patchout_f=3, patchout_t=2)
    mel = torch.randn(2, 100, 128)
    known = body.eval()(mel).patches
    assert known.shape == (2, 8, 6, 768)
    tokens, other = body.train()(mel), body(mel)
    assert tokens.patches.shape == (2, 5, 4, 768) and not tokens.kept.equal(other.kept)
    assert (tokens.kept.diff() > 0).all()
    distance = (known[:, :, tokens.kept][:, None] - tokens.patches[:, :, None]).abs().amax((0, 3, 4))
    rows = (distance < 1e-5).nonzero()  # [kept row, row]: the same of both clips
    assert rows[:, 0].tolist() == list(range(5)) and (rows[:, 1].diff() > 0).all()
    body.patchout_t = 5
    assert body(mel[:, :30]).patches.shape == (2, 5, 1, 768)  # one column always stays


@pytest.mark.parametrize("patchout", [(12, 0), (-1, 0), (0, 99)])
def test_patchout_of_everything(patchout):
    with pytest.raises(EspretError, match="expected less than its 12 rows and 99 columns"):
        Passt("passt_s", *patchout)


@pytest.mark.usefixtures("tiny")
@torch.inference_mode()
def test_segments_of_a_clip():
    frozen, clip = network(), wave(2, 2 * SEGMENT + 9600, 32000)
    parts = pad(clip, (0, SEGMENT - 9600)).view(3, SEGMENT)
    expected = frozen.body.embedding(frozen.front(parts))
    segments = frozen(clip[None])
    assert segments.shape == (1, 3, 768) and (segments[0] - expected).abs().max() < 1e-5
    mean = network(output="embedding")(clip[None])
    assert mean.shape == (1, 1, 768) and (mean[0, 0] - expected.mean(0)).abs().max() < 1e-5
    share = torch.tensor([SEGMENT, SEGMENT, 9600]) / len(clip)
    weighted = network(output="embedding", weighted=True)(clip[None])
    assert (weighted[0, 0] - share @ expected).abs().max() < 1e-5 < (weighted - mean).abs().max()
    logits = network(output="logits")(clip[None])
    assert logits.shape == (1, 1, 527) and (logits[0, 0] - frozen.body.head(expected).mean(0)).abs().max() < 1e-5


@pytest.mark.usefixtures("tiny")
@torch.inference_mode()
def test_frames_are_those_within_the_clip():
    frozen, clip = network(output="frames"), wave(3, SEGMENT + 9600, 32000)
    parts = pad(clip, (0, SEGMENT - 9600)).view(2, SEGMENT)
    expected = frozen.body(frozen.front(parts)).patches.mean(1)
    frames = frozen(clip[None])[0]
    assert frames.shape == (COLUMNS + 1, 768)  # 0.3 s are 30 spectra, and a patch is 16
    assert (frames - expected.flatten(0, 1)[: len(frames)]).abs().max() < 1e-5


@pytest.mark.usefixtures("tiny")
@torch.inference_mode()
def test_the_last_segment_as_short_as_it_is():
    frozen, clip = network(pad=False), wave(4, SEGMENT + 9600, 32000)
    last = frozen.body.embedding(frozen.front(clip[None, SEGMENT:]))
    assert (frozen(clip[None])[0, 1] - last[0]).abs().max() < 1e-5
    assert (network()(clip[None])[0, 1] - last[0]).abs().max() > 0.01


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("output", ["segments", "embedding", "logits", "frames"])
@torch.inference_mode()
def test_clips_do_not_see_each_other(output, padded, monkeypatch):
    monkeypatch.setattr(passt_network, "AT_A_TIME", {"cpu": 3})
    frozen = network(output=output, pad=padded)
    sizes = []
    frozen.front.register_forward_pre_hook(lambda module, given: sizes.append(given[0].shape))
    clips = [wave(number, length, 32000) for number, length in enumerate(LENGTHS)]
    together = frozen.extract(clips)
    assert max(batch for batch, _ in sizes) == 3 and max(samples for _, samples in sizes) == SEGMENT
    for clip, frames in zip(clips, together):
        assert frames.shape == (frozen.frames(len(clip)), frozen.dim) and frames.isfinite().all()
        assert (frames - frozen(clip[None])[0]).abs().max() < 1e-5


@pytest.mark.usefixtures("tiny")
@torch.inference_mode()
def test_half_precision_leaves_sums_and_norms_in_single():
    frozen, clip = network(output="logits"), wave(5, SEGMENT, 32000)[None]
    precise = frozen(clip)
    given = []
    for norm in (frozen.body.blocks[0].norm1, frozen.body.blocks[0].norm2, frozen.body.norm):
        norm.register_forward_hook(lambda module, inputs, made: given.extend([inputs[0].dtype, made.dtype]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = frozen(clip)
    assert given == [torch.float32] * 6 and rough.dtype == torch.float32
    assert 0 < (rough - precise).abs().max() < 0.02


@pytest.mark.usefixtures("tiny")
def test_checkpoint_of_a_file(tmp_path):
    path = tmp_path / "it's a check point.pt"
    body = Passt("passt_s")
    torch.save(body.state_dict(), path)
    frozen = PasstS(32000, checkpoint=str(path))
    assert all(torch.equal(*pair) for pair in zip(frozen.body.state_dict().values(), body.state_dict().values()))
    assert frozen.provenance["checkpoint"] == path.name


def test_hops(monkeypatch):
    for name in ("passt_n", "passt_s"):
        monkeypatch.setitem(VARIANTS, name, VARIANTS[name]._replace(depth=0))
    hops = {output: network(output=output).hop_seconds for output in ("segments", "embedding", "logits", "frames")}
    assert hops == {"segments": 10.0, "embedding": 0.0, "logits": 0.0, "frames": 0.1}
    frames = PasstN(32000, checkpoint="random", output="frames")
    assert frames.hop_seconds == 0.16 and frames.frames(32000 * 25) == 2 * 62 + 31
