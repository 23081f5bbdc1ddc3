"""The synthetic corpus: the same from the same seed, every kind everywhere, sound sound, captions that fit it."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
from numpy.random import default_rng

from espret.data.scenes import KINDS, Scene, scene, write_corpus
from espret.data.scenes.captions import PATTERNS, USUAL, qualify
from espret.data.scenes.compose import Event, render

COUNTS = {"train": 400, "valid": 50, "test": 100}


@pytest.fixture(scope="module")
def outlines() -> dict[str, list[Scene]]:
    """All scenes of the mini corpus; their sound is not made."""
    return {split: [scene(2022, split, index) for index in range(number)] for split, number in COUNTS.items()}


@pytest.fixture(scope="module")
def sample() -> list[Scene]:
    """One scene of each kind and ten more, to look at their sound."""
    return [scene(5, "sample", index) for index in range(len(KINDS) + 10)]


def _words(caption: str) -> list[str]:
    return re.findall(r"[a-z]+", caption.lower())


def _write(root: Path, seed: int) -> dict[str, bytes]:
    rows = list(write_corpus(root, {"train": 4, "test": 2}, seed))
    return {clip: path.read_bytes() for _, clip, path, _ in rows}


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    first = _write(tmp_path / "one", 1)
    assert first == _write(tmp_path / "two", 1)
    other = _write(tmp_path / "three", 2)
    assert first.keys() == other.keys()
    assert all(first[clip] != other[clip] for clip in first)


def test_scene_does_not_depend_on_what_was_made_before() -> None:
    late = scene(1, "train", 30)
    late_samples = late.samples
    for index in (3, 29):
        assert scene(1, "train", index).samples is not None
    again = scene(1, "train", 30)
    assert again == late
    assert np.array_equal(again.samples, late_samples)


def test_splits_and_neighbours_differ() -> None:
    clips = [scene(1, "train", 0), scene(1, "train", 1), scene(1, "test", 0), scene(2, "train", 0)]
    assert len({clip.samples.tobytes() for clip in clips}) == 4


def test_there_are_enough_kinds() -> None:
    assert len(KINDS) >= 16
    assert all(len(kind.phrases) == len(USUAL) for kind in KINDS.values())


def test_no_two_kinds_share_a_phrase() -> None:
    """A caption says which kinds it is about: retrieval would be a guess otherwise."""
    for form in ("verb", "participle"):
        of = [{f"{phrase.subject} {getattr(phrase, form)}" for phrase in kind.phrases} for kind in KINDS.values()]
        assert len(set().union(*of)) == sum(map(len, of))


def test_every_kind_in_every_split(outlines: dict[str, list[Scene]]) -> None:
    for split, least in (("train", 20), ("valid", 2), ("test", 4)):
        seen = Counter(event.kind for clip in outlines[split] for event in clip.events)
        assert seen.keys() == KINDS.keys()
        assert min(seen.values()) >= least, (split, seen)


def test_every_relation_in_every_split(outlines: dict[str, list[Scene]]) -> None:
    for clips in outlines.values():
        seen = Counter(clip.relation for clip in clips)
        assert seen.keys() == PATTERNS.keys()
        assert min(seen.values()) >= 0.2 * len(clips)


def test_events_fit_their_relation(outlines: dict[str, list[Scene]]) -> None:
    for clip in (clip for clips in outlines.values() for clip in clips):
        assert 3.0 <= clip.seconds <= 4.0
        assert len({event.kind for event in clip.events}) == len(clip.events) == (1 if clip.relation == "alone" else 2)
        assert all(event.onset >= 0.0 and event.onset + event.duration <= clip.seconds for event in clip.events)
        if clip.relation == "then":
            first, second = clip.events
            assert first.onset + first.duration < second.onset


def test_sound_is_finite_unclipped_and_audible(sample: list[Scene]) -> None:
    for clip in sample:
        assert clip.samples.dtype == np.float32
        assert clip.samples.shape == (round(clip.seconds * clip.sample_rate),)
        assert np.isfinite(clip.samples).all()
        assert np.abs(clip.samples).max() <= 1.0
        assert clip.samples.std() > 0.003


@pytest.mark.parametrize("kind", KINDS)
def test_event_is_heard_at_any_length_pitch_and_rate(kind: str) -> None:
    for trait in (-1.0, 0.0, 1.0):
        for n in (16000, 20001, 51200):
            sound = render(default_rng(1), Event(kind, 0.0, n / 16000, 0.0, trait, trait, 0.0), n)
            assert sound.shape == (n,)
            assert np.isfinite(sound).all()
            assert np.abs(sound).max() <= 0.551
            assert sound.std() > 0.008


def _profile(samples: np.ndarray) -> np.ndarray:
    """Mean and spread over time of the log energies of 24 bands, equally wide above 100 Hz on a logarithmic scale."""
    frames = samples[: len(samples) // 256 * 256].reshape(-1, 256)
    frames = np.concatenate([frames[:-1], frames[1:]], axis=1) * np.hanning(512)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    edges = np.unique(np.geomspace(3, 256, 25).astype(int))
    bands = np.log(np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1) + 1e-3)
    return np.concatenate([bands.mean(axis=0), bands.std(axis=0), np.abs(np.diff(bands, axis=0)).mean(axis=0)])


def test_kinds_are_told_apart_by_their_spectra() -> None:
    """A nearest-centroid classifier on coarse spectral statistics knows the kinds at varied pitch, rate and level."""
    rng = default_rng(7)
    names = list(KINDS)

    def examples(number: int) -> np.ndarray:
        rows = []
        for kind in names:
            for _ in range(number):
                pitch, rate, loudness = rng.uniform(-1.0, 1.0, 3)
                sound = render(rng, Event(kind, 0.0, 3.0, 0.0, pitch, rate, loudness), 48000)
                rows.append(_profile(sound * 10 ** (loudness / 4)))
        return np.array(rows).reshape(len(names), number, -1)

    train, test = examples(8), examples(4)
    scale = (train - train.mean(axis=1, keepdims=True)).std(axis=(0, 1)) + 1e-6
    centroids = train.mean(axis=1) / scale
    distances = np.linalg.norm(test[:, :, None] / scale - centroids[None, None], axis=-1)
    accuracy = float((distances.argmin(axis=-1) == np.arange(len(names))[:, None]).mean())
    assert accuracy > 0.9


def test_captions_are_five_and_different(outlines: dict[str, list[Scene]]) -> None:
    for clip in (clip for clips in outlines.values() for clip in clips):
        assert len(set(clip.captions)) == 5
        assert all(re.fullmatch(r"[A-Z][a-z ,]+\.", caption) for caption in clip.captions)


def test_captions_name_the_events_in_them(outlines: dict[str, list[Scene]]) -> None:
    for clip in outlines["train"]:
        for caption in clip.captions:
            for event in clip.events:
                forms = {form for phrase in KINDS[event.kind].phrases for form in (phrase.verb, phrase.participle)}
                assert any(form in caption for form in forms), (clip.id, event.kind, caption)


def test_order_of_events_is_told(outlines: dict[str, list[Scene]]) -> None:
    for clip in (clip for clip in outlines["train"] if clip.relation == "then"):
        for caption in clip.captions:
            assert re.search(r" followed by |then | before ", caption), caption


def test_traits_are_only_told_where_they_stand_out(outlines: dict[str, list[Scene]]) -> None:
    told = Counter(trait for clip in outlines["train"] for event in clip.events for trait in event.traits)
    assert told.keys() == {"loud", "quiet", "fast", "slow", "high", "low"}
    marks = {"loud": "loudly", "quiet": "faintly", "slow": "slowly", "high": "high pitched", "low": "low pitched"}
    found = Counter()
    for clip in outlines["train"]:
        traits = {trait for event in clip.events for trait in event.traits}
        for trait, mark in marks.items():
            if any(mark in caption for caption in clip.captions):
                assert trait in traits, (clip.id, trait)
                found[trait] += 1
    assert found.keys() == marks.keys()


def test_vocabulary_is_small_and_its_words_recur(outlines: dict[str, list[Scene]]) -> None:
    counts = Counter(word for clip in outlines["train"] for caption in clip.captions for word in _words(caption))
    assert 150 <= len(counts) <= 300
    later = {w for split in ("valid", "test") for clip in outlines[split] for c in clip.captions for w in _words(c)}
    assert later <= counts.keys()


def test_captions_of_a_clip_are_closer_than_those_of_others(outlines: dict[str, list[Scene]]) -> None:
    """Word pairs in common: without them a caption metric could not tell a right caption from a constant one."""

    def shared(one: str, other: str) -> float:
        first, second = (set(zip(_words(text), _words(text)[1:])) for text in (one, other))
        return len(first & second) / max(1, min(len(first), len(second)))

    clips = outlines["test"]
    own = np.mean([shared(clip.captions[0], clip.captions[k]) for clip in clips for k in range(1, 5)])
    others = np.mean([shared(a.captions[0], b.captions[1]) for a, b in zip(clips, clips[1:])])
    assert own > 3.0 * others


def test_article_follows_the_adjective() -> None:
    assert qualify("an alarm", "high pitched") == "a high pitched alarm"
    assert qualify("a bell", "old") == "an old bell"
    assert qualify("birds", "high pitched") == "high pitched birds"
    assert qualify("the wind", "low pitched") == "the low pitched wind"


def test_corpus_is_flac_below_a_folder_of_any_name(tmp_path: Path) -> None:
    root = tmp_path / "a 'quoted' \"größe\"; & blank"
    rows = list(write_corpus(root, {"train": 2, "test": 1}, 3))
    assert [(split, clip) for split, clip, _, _ in rows] == [
        ("train", "scene-train-0000"), ("train", "scene-train-0001"), ("test", "scene-test-0000"),
    ]  # fmt: skip
    for split, clip, path, captions in rows:
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.format, info.subtype) == (16000, 1, "FLAC", "PCM_16")
        made = scene(3, split, int(clip[-4:]))
        samples, _ = soundfile.read(path, dtype="float32")
        assert np.abs(samples - made.samples).max() <= 1.01 / 32768
        assert captions == list(made.captions)
    files = sorted(path.name for path in root.rglob("*") if path.is_file())
    assert files == sorted(f"{clip}.flac" for _, clip, _, _ in rows)


def _recipe_data() -> ModuleType:
    path = Path(__file__).parents[2] / "egs/mini/local/data.py"
    spec = importlib.util.spec_from_file_location("mini_local_data", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_recipe_function_yields_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = _recipe_data()
    assert data.EXPECTED == COUNTS
    split, clip, path, captions = next(data.clips())
    assert (split, clip, path) == ("train", "scene-train-0000", Path("data/local/audio/train/scene-train-0000.flac"))
    assert (tmp_path / path).is_file()
    assert len(captions) == 5
