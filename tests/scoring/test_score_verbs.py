"""`espret score-captions` and `espret score-retrieval`: files in, files out, exit statuses, messages."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from espret.bin import main
from espret.data.datadir import DataDir
from espret.files import read_json, read_jsonl, write_jsonl
from espret.scoring.spice import install

CAPTIONS = {"a-1": "a dog is barking", "a-2": "the dog barks", "b-1": "rain on a roof", "c-1": "bells ring"}
CAP2UTT = {caption: caption[0] for caption in CAPTIONS}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "böse 'Daten'" / "test"
    utt2cap = {utt: [caption for caption in CAPTIONS if CAP2UTT[caption] == utt] for utt in "abc"}
    DataDir(wav_scp={utt: f"{utt}.wav" for utt in "abc"}, text=CAPTIONS, cap2utt=CAP2UTT, utt2cap=utt2cap).write(folder)
    return folder


@pytest.fixture
def hyp(tmp_path: Path) -> Path:
    path = tmp_path / "hyp.jsonl"
    write_jsonl(path, [{"utt": utt, "caption": f"a dog and {utt}", "score": -1.0} for utt in "abc"])
    return path


def score_captions(hyp: Path, data: Path, out: Path, *more: str) -> int:
    return main(["score-captions", "--hyp", str(hyp), "--ref", str(data), "--out", str(out), *more])


def test_captions_without_spice(
    hyp: Path, data: Path, tmp_path: Path, no_spice: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "score_test.partial"
    wanted = ("--metrics", "BLEU", "CIDEr-D", "SPIDEr", "vocabulary")
    assert score_captions(hyp, data, out, *wanted) == 3
    assert "SPIDEr is unavailable" in capsys.readouterr().err
    assert score_captions(hyp, data, out, *wanted, "--allow-unavailable") == 0
    record = read_json(out / "scores.json")
    assert (record["task"], record["split"], record["n_clips"], record["n_captions"]) == ("captioning", "test", 3, 4)
    assert record["metrics"]["SPIDEr"] is None and record["metrics"]["BLEU-1"] > 0
    assert f"run {install.COMMAND}" in record["unavailable"]["SPIDEr"]
    rows = read_jsonl(out / "items.jsonl")
    assert [row["utt"] for row in rows] == ["a", "b", "c"]
    assert rows[0]["references"] == ["a dog is barking", "the dog barks"]
    assert rows[0]["CIDEr-D"] > 0 and rows[0]["SPICE"] is None


@pytest.mark.java
def test_captions_with_everything(hyp: Path, data: Path, tmp_path: Path) -> None:
    assert score_captions(hyp, data, tmp_path / "out") == 0
    metrics = read_json(tmp_path / "out" / "scores.json")["metrics"]
    names = ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr-D", "SPICE", "SPIDEr", "vocabulary"]
    assert list(metrics) == names
    assert all(np.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"utt": "a", "caption": "x"}, {"utt": "a", "caption": "y"}], "hyp.jsonl:2: a second caption for clip a"),
        ([{"utt": "a"}], "hyp.jsonl:1: expected an object with the strings utt and caption"),
        ([{"utt": "a", "caption": "x"}], "2 of 3 clips have references but no caption: b, c"),
    ],
)
def test_bad_hypotheses(
    rows: list[Any], message: str, hyp: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_jsonl(hyp, rows)
    assert score_captions(hyp, data, tmp_path / "out") == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def decode(tmp_path: Path) -> Path:
    folder = tmp_path / "decode_test"
    folder.mkdir()
    (folder / "captions.txt").write_text("".join(f"{caption}\n" for caption in CAPTIONS))
    (folder / "clips.txt").write_text("c\nb\na\n")
    sim = np.array([[0.1, 0.2, 0.9], [0.5, 0.1, 0.4], [0.2, 0.8, 0.3], [0.05, 0.9, 0.2]], dtype=np.float32)
    np.save(folder / "sim.npy", sim)
    return folder


def score_retrieval(decode: Path, data: Path, out: Path) -> int:
    return main(["score-retrieval", "--decode", str(decode), "--data", str(data), "--out", str(out)])


def test_retrieval(decode: Path, data: Path, tmp_path: Path) -> None:
    assert score_retrieval(decode, data, tmp_path / "out") == 0
    record = read_json(tmp_path / "out" / "scores.json")
    assert (record["task"], record["split"], record["n_clips"], record["n_captions"]) == ("retrieval", "test", 3, 4)
    assert record["metrics"]["t2a/MeanR"] == pytest.approx((1 + 2 + 1 + 3) / 4)
    assert record["metrics"]["a2t/MeanR"] == pytest.approx((1 + 2 + 4) / 3)
    rows = read_jsonl(tmp_path / "out" / "items.jsonl")
    assert [(row["caption"], row["utt"], row["rank"]) for row in rows[:2]] == [("a-1", "a", 1.0), ("a-2", "a", 2.0)]
    assert [hit["utt"] for hit in rows[1]["top"]] == ["c", "a", "b"]
    assert rows[1]["top"][0]["score"] == 0.5


def test_bad_decoding(decode: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def message() -> str:
        assert score_retrieval(decode, data, tmp_path / "out") == 1
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    sim = np.load(decode / "sim.npy")
    sim[1, 2] = np.nan
    np.save(decode / "sim.npy", sim)
    assert "similarity of caption a-2 and clip a is nan" in message()
    np.save(decode / "sim.npy", sim[:3])
    assert "shape (3, 3), but captions.txt and clips.txt beside it have (4, 3) ids" in message()
    (decode / "sim.npy").write_bytes(b"x")
    assert "sim.npy: not a similarity matrix" in message()
    (decode / "clips.txt").write_text("c\nb\nz\n")
    np.save(decode / "sim.npy", sim)
    assert "clips.txt: lacks ids of" in message()
    (decode / "clips.txt").unlink()
    assert "clips.txt: no such file" in message()


def test_rows_are_json_without_nan(decode: Path, data: Path, tmp_path: Path) -> None:
    score_retrieval(decode, data, tmp_path / "out")
    for line in (tmp_path / "out" / "items.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(name))
