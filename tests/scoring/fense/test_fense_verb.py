"""The FENSE family through score-captions: made of its parts item by item, and what is said where it cannot be had."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_bert import write_base, write_detector, write_sbert

from espret.bin import main
from espret.data.datadir import DataDir
from espret.files import read_json, read_jsonl
from espret.scoring.fense import fluency
from espret.scoring.fense import install as fense_install

HYPS = {"a": "A dog barks, loudly!", "b": "rain", "c": ""}
REFS = {"a": "a dog is barking", "b": "rain falls on the roof", "c": "a bird"}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("ein 'böser' Ordner")
    write_base(folder / "tiny-base")
    detector = write_detector(folder / "my detector.ckpt", "someone/tiny-base")
    return ["--sbert", str(write_sbert(folder / "my model")), "--fluency", str(detector)]


@pytest.fixture
def score(tmp_path: Path) -> Any:
    cap2utt = {f"{utt}-1": utt for utt in REFS}
    DataDir(
        wav_scp={utt: f"{utt}.wav" for utt in REFS},
        text={f"{utt}-1": ref for utt, ref in REFS.items()},
        cap2utt=cap2utt,
        utt2cap={utt: [f"{utt}-1"] for utt in REFS},
    ).write(tmp_path / "test")
    lines = [json.dumps({"utt": utt, "caption": caption}) + "\n" for utt, caption in HYPS.items()]
    (tmp_path / "hyp.jsonl").write_text("".join(lines))
    words = ["score-captions", "--hyp", str(tmp_path / "hyp.jsonl"), "--ref", str(tmp_path / "test")]
    return lambda *more: main([*words, "--out", str(tmp_path / "out"), *more])


@pytest.fixture
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESPRET_FENSE", str(tmp_path / "nothing"))


@pytest.mark.parametrize("raw", ["", "-raw"])
def test_fense_is_made_of_its_parts(
    raw: str, score: Any, networks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fluency, "THRESHOLD", 0.1)
    assert score("--metrics", f"FENSE{raw}", *networks) == 0
    rows = read_jsonl(tmp_path / "out" / "items.jsonl")
    errors = [float(row[f"FER{raw}.error_prob"] > 0.1) for row in rows]
    assert [row[f"FER{raw}"] for row in rows] == errors and set(errors) == {0, 1}
    expected = [row[f"SBERT{raw}"] * (0.1 if error else 1) for row, error in zip(rows, errors)]
    assert [row[f"FENSE{raw}"] for row in rows] == pytest.approx(expected) and all(expected)
    metrics = read_json(tmp_path / "out" / "scores.json")["metrics"]
    assert set(metrics) == {f"SBERT{raw}", f"FER{raw}", f"FENSE{raw}"}
    assert metrics[f"FENSE{raw}"] == pytest.approx(sum(expected) / 3)
    assert metrics[f"FER{raw}"] == pytest.approx(sum(errors) / 3)


@pytest.mark.java
def test_spider_fl_is_made_of_its_parts(
    score: Any, networks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fluency, "THRESHOLD", 0.1)
    assert score("--metrics", "SPIDEr-FL", *networks) == 0
    rows = read_jsonl(tmp_path / "out" / "items.jsonl")
    expected = [(row["CIDEr-D"] + row["SPICE"]) / 2 * (0.1 if row["FER.error_prob"] > 0.1 else 1) for row in rows]
    assert [row["SPIDEr-FL"] for row in rows] == pytest.approx(expected) and max(expected) > 0
    metrics = read_json(tmp_path / "out" / "scores.json")["metrics"]
    assert metrics["SPIDEr-FL"] == pytest.approx(sum(expected) / 3)


def test_without_networks_the_others_are_scored(
    score: Any, nothing_installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ("--metrics", "BLEU", "FENSE", "FENSE-raw")
    assert score(*wanted) == 3
    names = ("SBERT", "FER", "FENSE", "SBERT-raw", "FER-raw", "FENSE-raw")
    messages = capsys.readouterr().err
    for name in names:
        assert f"score-captions: {name} is unavailable: " in messages
    assert messages.count(f"run {fense_install.COMMAND}") == 6
    record = read_json(tmp_path / "out" / "scores.json")
    assert set(record["unavailable"]) == set(names) and record["metrics"]["BLEU-1"] > 0
    assert score(*wanted, "--allow-unavailable") == 0


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--sbert", "./no model", "--sbert ./no model: no such folder"),
        ("--sbert", ".", "no modules.json"),
        ("--fluency", "no detector.ckpt", "--fluency no detector.ckpt: no such file; the installed detector is used"),
        ("--fluency", ".", "--fluency .: no such file"),
        ("--device", "abacus", "abacus"),
    ],
)
def test_networks_that_do_not_exist(
    option: str, value: str, message: str, score: Any, networks: list[str], tmp_path: Path, capsys: Any
) -> None:
    given = dict(zip(networks[::2], networks[1::2])) | {option: value}
    assert score("--metrics", "FENSE", *(word for pair in given.items() for word in pair)) == 1
    assert message in capsys.readouterr().err.replace("warning", "")
    assert not (tmp_path / "out").exists()
