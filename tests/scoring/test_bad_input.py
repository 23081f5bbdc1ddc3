"""Bad input of score-captions: each has a defined result or an error that names place, fault and cure; never less."""

import json
import math
import re
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from espret.bin import main
from espret.data.datadir import DataDir
from espret.errors import EspretError
from espret.scoring import watch
from espret.scoring.captions import evaluate
from espret.scoring.meteor import java as meteor_java
from espret.scoring.spice.store import Store

LIGHT = ("BLEU", "ROUGE-L", "CIDEr-D", "vocabulary")
HYPS = {"a": "a dog barks", "b": "rain falls", "c": "bells ring"}
REFS = {"a": ["a dog is barking", "the dog barks"], "b": ["rain on a roof"], "c": ["bells ring"]}
ODD = {
    "empty": "",
    "blank": " \t ",
    "marks": ".,!?;:",
    "brackets": "( ) [ ] { }",
    "breaks": "a\ndog\tbarks ||| a\r\nb\x0bc\x0c",
    "more breaks": "a\u0085dog\u2028barks\u2029",
    "control": "a\0dog\x01\x7f\x80",
    "letters": "Ünïcödé ñandú 日本語 の 犬",
    "emoji": "🐶🐕\u200d🦺 barks",
    "surrogate": "a \ud800 dog \udc00",
    "right to left": "مرحبا \u202edog\u202c \u200f",
    "piled up": "d\u0301\u0302\u0303og",
    "wide blanks": "\u3000\u00a0\u2003",
    "nothing seen": "\u200b\ufeff",
    "dialogue": "EVAL ||| 1 2",
    "shell": "%s {} ${x} $(ls) `id` ' \" \\",
    "capitals": "A DOG BARKS",
    "one long word": "x" * 100_000,
    "long": "dog and " * 5_000,
}


def data(folder: Path, refs: dict[str, list[str]] = REFS) -> Path:
    utt2cap = {utt: [f"{utt}-{k}" for k in range(1, len(of) + 1)] for utt, of in refs.items()}
    text = {f"{utt}-{k}": caption for utt, of in refs.items() for k, caption in enumerate(of, 1)}
    cap2utt = {caption: utt for utt, of in utt2cap.items() for caption in of}
    DataDir(wav_scp={utt: f"{utt}.wav" for utt in refs}, text=text, cap2utt=cap2utt, utt2cap=utt2cap).write(folder)
    return folder


def rows(hyps: dict[str, Any]) -> bytes:
    return "".join(json.dumps({"utt": utt, "caption": caption}) + "\n" for utt, caption in hyps.items()).encode()


def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], hyp: Path, *more: str) -> str:
    """The message with which the verb refuses, with status 1 and nothing written."""
    words = ["score-captions", "--hyp", str(hyp), "--ref", str(tmp_path / "test"), "--out", str(tmp_path / "out")]
    assert main([*words, *(more or ("--metrics", *LIGHT[:3]))]) == 1
    assert not (tmp_path / "out").exists()
    message = capsys.readouterr().err
    assert message.startswith("espret score-captions: error: ") and message.count("\n") == 1
    return message


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("side", ["candidate", "reference"])
def test_odd_captions_are_scored(odd: str, side: str) -> None:
    caption = ODD[odd]
    hyps = {**HYPS, "a": caption} if side == "candidate" else HYPS
    refs = {**REFS, "a": [caption, "the dog barks"]} if side == "reference" else REFS
    scores = evaluate(hyps, refs, LIGHT)
    assert not scores.unavailable
    assert all(math.isfinite(value) for item in scores.items.values() for value in item.values() if value is not None)
    usual = evaluate(HYPS, REFS, LIGHT)
    assert scores.items["c"]["ROUGE-L"] == usual.items["c"]["ROUGE-L"] == 1


@pytest.mark.java
def test_odd_captions_are_scored_by_java_too() -> None:
    hyps = {f"u{i}": caption for i, caption in enumerate(ODD.values())}
    refs = {utt: ["a dog barks", caption[:2000]] for utt, caption in hyps.items()}
    scores = evaluate(hyps, refs)
    assert not scores.unavailable
    assert all(math.isfinite(value) for item in scores.items.values() for value in item.values() if value is not None)
    capitals = scores.items[f"u{list(ODD).index('capitals')}"]
    assert capitals["METEOR"] == capitals["SPICE"] == 1


@pytest.mark.java
def test_one_item_and_captions_that_are_all_the_same() -> None:
    one = evaluate({"a": "a dog"}, {"a": ["a dog"]})
    assert (one.value("METEOR"), one.value("SPICE"), one.value("CIDEr-D"), one.value("SPIDEr")) == (1, 1, 0, 0.5)
    same = evaluate(dict.fromkeys("abc", "a dog"), dict.fromkeys("abc", ["a dog"]))
    assert same.corpus == pytest.approx(one.corpus, abs=1e-8)  # but for BLEU's constants
    nothing = evaluate({"a": ""}, {"a": [""]})
    assert {nothing.corpus[name] for name in ("METEOR", "ROUGE-L", "CIDEr-D", "SPICE", "SPIDEr", "vocabulary")} == {0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "hyp.jsonl and .*test: 3 of 3 clips have references but no caption: a, b, c;"),
        (rows({"a": "x", "z": "y"}), "2 of 3 clips have references but no caption: b, c; 1 of 3 .* no references: z;"),
        (rows({**HYPS, "z\nq": "y"}), r"no references: 'z\\nq';"),
        (b'{"utt":"a","caption":"x"}\n{"utt":"b","caption":"caf\xe9"}\n', r"hyp.jsonl:2: not JSON: .*utf-8.*caf"),
        (rows(HYPS).decode().encode("utf-16"), "hyp.jsonl:1: not JSON: "),
        (b"\xef\xbb\xbf" + rows(HYPS), "hyp.jsonl:1: not JSON: Unexpected UTF-8 BOM"),
        (rows(HYPS).replace(b"\n", b"\n\n"), "hyp.jsonl:2: not JSON: .* expected a value a line"),
        (b"[" * 100_000, "hyp.jsonl:1: not JSON: .*recursion"),
        (b"1" * 5_000, "hyp.jsonl:1: not JSON: .*digits"),
        (b"NaN\n", "hyp.jsonl:1: expected an object with the strings utt and caption, found nan"),
        (rows({"a": 3}), "hyp.jsonl:1: expected an object .*found {'utt': 'a', 'caption': 3}"),
        (rows({"a": None}), "hyp.jsonl:1: expected an object .*found {'utt': 'a', 'caption': None}"),
        (b"null\n", "hyp.jsonl:1: expected an object .*found None"),
        (rows({**HYPS, "b": "\ud800"}), r"hyp.jsonl:2: '\\ud800' has a lone surrogate"),
        (rows({"\ud800": "x"}), r"hyp.jsonl:1: '\\ud800' has a lone surrogate"),
        (rows({"a": "x"}) * 2, "hyp.jsonl:2: a second caption for clip a;"),
        (None, "hyp.jsonl: no such file"),
    ],
)
def test_bad_hypotheses(
    content: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data(tmp_path / "test")
    if content is not None:
        (tmp_path / "hyp.jsonl").write_bytes(content)
    found = refused(tmp_path, capsys, tmp_path / "hyp.jsonl")
    assert re.search(message, found), found


def test_a_folder_for_hypotheses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data(tmp_path / "test")
    assert "test: cannot be read: Is a directory; expected a file" in refused(tmp_path, capsys, tmp_path / "test")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("text", None, "utt2cap:1: caption a-1 is not in .*text; mend: espret validate "),
        ("text", b"a-1 x\na-2 y\nb-1 z\n", "utt2cap:3: caption c-1 is not in .*text; mend: espret validate "),
        ("text", b"a-1 x\na-2\nb-1 x\nc-1 y\n", "text:2: key without a value"),
        ("text", b"a-1 caf\xe9\n", "text:1: not UTF-8"),
        ("utt2cap", None, "utt2cap: no captions to score against; prepare the data with captions"),
        ("utt2cap", b"a a-1\nb b-1\n", "have an empty list of references: c"),
        ("utt2cap", b"a a-1\na a-2\nb b-1\nc c-1\n", "utt2cap:2: key already seen"),
        ("utt2cap", b"a a-1\nb b-1\nc c-1\nz a-2\n", "utt2cap:4: z is no clip of .*; mend: espret validate "),
        ("wav.scp", None, "wav.scp: no such file"),
        ("wav.scp", b"a a.wav\n", "utt2cap:2: b is no clip of"),
        ("about.json", b"{", "about.json:1: not JSON"),
    ],
)
def test_bad_references(
    file: str, content: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = data(tmp_path / "test") / file
    if content is None:
        place.unlink()
    else:
        place.write_bytes(content)
    (tmp_path / "hyp.jsonl").write_bytes(rows(HYPS))
    found = refused(tmp_path, capsys, tmp_path / "hyp.jsonl")
    assert re.search(message, found), found


def test_references_that_are_a_string() -> None:
    with pytest.raises(EspretError, match="references of a are one string; expected a list"):
        evaluate({"a": "x"}, {"a": "a dog"}, LIGHT)


def test_surrogates_among_tokens_are_refused() -> None:
    with pytest.raises(EspretError, match=r"a: 'a \\ud800' has a lone surrogate"):
        evaluate({"a": "x"}, {"a": ["a \ud800"]}, LIGHT, tokenised=True)


def test_unknown_metric_and_threads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data(tmp_path / "test")
    (tmp_path / "hyp.jsonl").write_bytes(rows(HYPS))
    found = refused(tmp_path, capsys, tmp_path / "hyp.jsonl", "--metrics", "CIDER")
    assert "unknown caption metric 'CIDER'; did you mean 'CIDEr-D'?" in found
    for verb in ("score-captions", "parse-captions"):
        with pytest.raises(SystemExit):
            main([verb, "--hyp", str(tmp_path / "hyp.jsonl"), "--ref", str(tmp_path / "test"), "--threads", "0"])
        assert "expected 1 or more" in capsys.readouterr().err


def test_an_output_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data(tmp_path / "test")
    (tmp_path / "hyp.jsonl").write_bytes(rows(HYPS))
    (tmp_path / "file").write_text("kept")
    (tmp_path / "old" / "scores.json").mkdir(parents=True)

    def score(out: str) -> int:
        words = ["score-captions", "--hyp", str(tmp_path / "hyp.jsonl"), "--ref", str(tmp_path / "test"), "--out", out]
        return main([*words, "--metrics", "BLEU"])

    for out in ("", str(tmp_path / "file")):
        with pytest.raises(SystemExit):  # before anything is scored
            score(out)
        assert "expected a folder" in capsys.readouterr().err
    for out in ("file/below", "old", "x" * 300):
        assert score(str(tmp_path / out)) == 1
        assert "cannot be written: " in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "kept"
    assert not list(tmp_path.rglob("*.tmp"))


def test_captions_that_are_too_long_to_align_match_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(meteor_java, "statistics", lambda *item: asked.append(item) or [1.0] * 23)
    long, items = "dog " * 10_000, [("a", "日", ["x"])]
    items += [("b", long, [long, "a dog"]), ("c", long, [long]), ("d", "日" * 10_000, ["日" * 10_000])]
    found = meteor_java.statistics_of(items)
    assert asked == [items[0], ("b", long, ["a dog"])]
    assert found == [[1.0] * 23, [1.0] * 23, [10_000.0, 10_000.0, *[0.0] * 21], [1.0, 1.0, *[0.0] * 21]]
    warnings = capsys.readouterr().err
    assert warnings.count("METEOR: warning: ") == 3 and "b has 10000 words" in warnings and "1 of its ref" in warnings


def test_a_caption_that_java_does_not_finish_is_named(monkeypatch: pytest.MonkeyPatch) -> None:

    stop = threading.Event()
    monkeypatch.setattr(watch, "LIMIT", 0.5)
    monkeypatch.setattr(meteor_java, "statistics", lambda *item: stop.wait(30))
    with pytest.raises(EspretError, match="METEOR: no answer within 0.5 s, scoring the caption of clip7, '犬 barks'"):
        meteor_java.statistics_of([("clip7", "犬 barks", ["a dog"])])
    stop.set()


FULL = """
import resource, sys
from pathlib import Path
from espret.scoring.spice.store import Store
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store(Path(sys.argv[1]), "one")
for number in range(100):
    store.put({f"{number} {i}": [["dog", "x" * 50]] for i in range(20)})
"""


def test_a_store_without_room_warns_once_and_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "graphs 'x'.sqlite"
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning: parses are not kept") == 1 and "mend: " in done.stderr
    assert "rollback" not in done.stderr  # the reason, not what follows from it
    found = Store(path, "one").get([f"{number} {i}" for number in range(100) for i in range(20)])
    assert 0 < len(found) < 2000 and len(found) % 20 == 0


def test_a_row_of_the_store_that_is_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:

    path = tmp_path / "graphs.sqlite"
    Store(path, "one").put({"a": [["dog"]]})
    with sqlite3.connect(path) as database:
        database.execute("UPDATE parse SET tuples = '{'")
    database.close()
    assert Store(path, "one").get(["a"]) == {}
    assert "if it is damaged: rm " in capsys.readouterr().err


@pytest.mark.parametrize("bad", [None, "xy", [1], [None], ["a dog"], {"a": 1}, [{"caption": 3}], [{"caption": None}]])
def test_bad_nbest(bad: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data(tmp_path / "test", {"a": ["x"]})
    hyp = tmp_path / "hyp.jsonl"
    hyp.write_text(json.dumps({"utt": "a", "caption": "x", **({} if bad is None else {"nbest": bad})}) + "\n")
    found = refused(tmp_path, capsys, hyp, "--metrics", "SPIDEr-max")
    assert "hyp.jsonl:1: expected nbest, a list of objects with a caption, found" in found
