"""FER: the detector's probabilities, its file, and what is not such a file."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_bert
import torch
from tiny_bert import CAPTIONS, write_base, write_detector

from espret.errors import EspretError
from espret.scoring.fense import fluency
from espret.scoring.fense import install as fense_install
from espret.scoring.fense.detector import CLASSES, load, read_checkpoint
from espret.scoring.fense.fluency import Fluency, FluencyRaw
from espret.scoring.metric import Captions, Settings, Unavailable

GOLDENS = json.loads((Path(__file__).parents[2] / "goldens/scoring/fense_networks.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ein 'böser' Ordner")
    write_base(folder / "tiny-base")
    return write_detector(folder / "my detector.ckpt", "someone/tiny-base")


def test_probabilities(file: Path) -> None:
    found = load(file, Path("/nowhere"), "cpu").probabilities(CAPTIONS)
    assert found.shape == (6, 6) and found.dtype == np.float32
    np.testing.assert_allclose(found, GOLDENS["detector"], atol=1e-6)


def test_case_punctuation_and_what_comes_after_64_tokens_do_not_count(file: Path) -> None:
    detector = load(file, Path("/nowhere"), "cpu")
    one, same, long, longer = detector.probabilities(
        ["it's a dog", "ITS, a (dog)!", "dog " * 62, "dog " * 62 + "bird rain roof"]
    )
    np.testing.assert_allclose(one, same, atol=1e-6)
    np.testing.assert_allclose(long, longer, atol=1e-6)


def captions() -> Captions:
    refs = [["a bird"]] * 3
    raw = ["A bird, and a dog!", "Bird.", "A bird, and a dog!"]
    return Captions(["x", "y", "z"], ["a bird and a dog", "bird", "a bird and a dog"], refs, raw, refs)


@pytest.mark.parametrize("metric", [Fluency, FluencyRaw])
def test_the_metric(file: Path, monkeypatch: pytest.MonkeyPatch, metric: type[Fluency]) -> None:
    monkeypatch.setattr(fluency, "THRESHOLD", 0.1)
    result = metric(Settings(fluency=str(file))).score(captions())
    (name,) = metric.names
    first, second = GOLDENS["detector"][1], GOLDENS["detector"][5]
    assert list(result.items) == [*(f"{name}.{kind}_prob" for kind in CLASSES), name]
    for index, kind in enumerate(CLASSES):
        expected = [first[index], second[index], first[index]]
        np.testing.assert_allclose(result.items[f"{name}.{kind}_prob"], expected, atol=1e-6)
    assert result.items[name] == [1.0, 0.0, 1.0]
    assert result.corpus == {name: pytest.approx(2 / 3)}


def test_raw_captions_are_read_as_they_were_written(file: Path) -> None:
    of = Captions(["x"], ["it 's"], [["a"]], ["It's"], [["a"]])
    cooked, raw = (
        metric(Settings(fluency=str(file))).score(of).items[f"{metric.names[0]}.error_prob"]
        for metric in (Fluency, FluencyRaw)
    )
    expected = load(file, Path("/nowhere"), "cpu").probabilities(["it s", "its"])[:, -1]
    np.testing.assert_allclose([*cooked, *raw], expected, atol=1e-6)
    assert abs(expected[0] - expected[1]) > 1e-3


def test_a_file_that_is_not_published_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Fluency(Settings(fluency=str(file))).score(captions())
    assert f"warning: {file} is none of the published detectors" in capsys.readouterr().err
    digest = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    monkeypatch.setitem(fense_install.PUBLISHED, digest, file.name)
    Fluency(Settings(fluency=str(file))).score(captions())
    assert capsys.readouterr().err == ""


def test_published_files() -> None:
    assert {digest[:15]: name for digest, name in fense_install.PUBLISHED.items()} == {
        "sha256:1a719f09": "echecker_clotho_audiocaps_base.ckpt",
        "sha256:90ed0ac5": "echecker_clotho_audiocaps_tiny.ckpt",
    }


def test_the_installed_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESPRET_FENSE", str(tmp_path))
    with pytest.raises(Unavailable, match="the detector is not in .*; run .*fense"):
        Fluency(Settings()).score(captions())
    write_base(tmp_path / "bert-base-uncased")
    write_detector(fense_install.detector_file(), "bert-base-uncased")
    (tmp_path / "installed.json").write_text("{}")
    found = Fluency(Settings()).score(captions()).items["FER.error_prob"]
    np.testing.assert_allclose(found[:2], [GOLDENS["detector"][1][-1], GOLDENS["detector"][5][-1]], atol=1e-6)


def test_the_base_is_the_hubs_when_it_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from espret.scoring.fense import bert

    asked: list[tuple[str, bool]] = []

    def of_hub(name: str, with_weights: bool) -> Path:
        asked.append((name, with_weights))
        return write_base(tmp_path / "cache")

    monkeypatch.setattr(bert, "of_hub", of_hub)
    load(write_detector(tmp_path / "x.ckpt", "prajjwal1/bert-tiny"), tmp_path, "cpu")
    assert asked == [("prajjwal1/bert-tiny", False)]


def test_a_base_as_bare_as_that_of_the_small_detector(tmp_path: Path) -> None:
    base = write_base(tmp_path / "bert-tiny")
    (base / "tokenizer_config.json").unlink()
    values = json.loads((base / "config.json").read_text())
    kept = ("hidden_size", "vocab_size", "num_attention_heads", "num_hidden_layers", "intermediate_size")
    tiny_bert.write(base / "config.json", {name: values[name] for name in (*kept, "max_position_embeddings")})
    detector = load(write_detector(tmp_path / "x.ckpt", "prajjwal1/bert-tiny"), tmp_path, "cpu")
    np.testing.assert_allclose(detector.probabilities(CAPTIONS), GOLDENS["detector"], atol=1e-6)


class Harmful:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    torch.save({"model_type": Harmful(tmp_path / "harm")}, tmp_path / "x.ckpt")
    with pytest.raises(EspretError, match="not a detector's checkpoint that can be read safely"):
        read_checkpoint(tmp_path / "x.ckpt")
    assert not (tmp_path / "harm").exists()


def test_what_is_not_a_detector_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.ckpt"
    with pytest.raises(EspretError, match="no such file"):
        read_checkpoint(file)
    with pytest.raises(EspretError, match="--fluency .*x.ckpt: no such file"):
        Fluency(Settings(fluency=str(file))).score(captions())
    file.write_bytes(b"<html>")
    with pytest.raises(EspretError, match="can be read safely"):
        read_checkpoint(file)
    torch.save({"state_dict": {}, "model_type": "x"}, file)
    with pytest.raises(EspretError, match="found no num_classes"):
        read_checkpoint(file)
    torch.save([1], file)
    with pytest.raises(EspretError, match="found no model_type"):
        read_checkpoint(file)
    with pytest.raises(EspretError, match="5 classes instead of 6: add_tail, .*, error"):
        read_checkpoint(write_detector(file, classes=5))
    write_base(tmp_path / "tiny-base")
    with pytest.raises(EspretError, match="'../../etc', which names no model"):
        load(write_detector(file, "../../etc"), tmp_path, "cpu")
    checkpoint = read_checkpoint(write_detector(file))
    del checkpoint["state_dict"]["encoder.embeddings.LayerNorm.bias"]
    torch.save(checkpoint, tmp_path / "y.ckpt")
    with pytest.raises(EspretError, match="y.ckpt does not fit the BERT of .*LayerNorm.bias"):
        load(tmp_path / "y.ckpt", tmp_path, "cpu")
    tiny_bert.write(tmp_path / "tiny-base/config.json", {"model_type": "nonsense"})
    with pytest.raises(EspretError, match="transformers reads"):
        load(file, tmp_path, "cpu")
