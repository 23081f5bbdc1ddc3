import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from espret.bin import main
from espret.data.datadir import DataDir, Segment
from espret.data.validate import validate

ROOT = Path(__file__).parents[2]


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def apply(root: Path) -> None:
        before = (root / name).read_text(encoding="utf-8")
        after = before.replace(old, new, 1)
        assert after != before
        (root / name).write_text(after, encoding="utf-8")

    return apply


def remove(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink()


def test_sound_directory(sound_dir: Path) -> None:
    assert validate(sound_dir) == []


FAULTS = {
    "no wav.scp": (remove("wav.scp"), "wav.scp: no such file"),
    "no utt2dur": (remove("utt2dur"), "utt2dur: no such file"),
    "no utt2sr": (remove("utt2sr"), "utt2sr: no such file"),
    "no text": (remove("text"), "text: no such file"),
    "no cap2utt": (remove("cap2utt"), "cap2utt: no such file"),
    "no utt2cap": (remove("utt2cap"), "utt2cap: no such file"),
    "unsorted": (edit("utt2sr", "u0 16000\nu1 16000\n", "u1 16000\nu0 16000\n"), "utt2sr:2: not sorted"),
    "duplicate": (edit("text", "u1-1 ", "u0-5 "), "text:6: key already seen: line 6 'u0-5'"),
    "empty caption": (edit("text", "u0-2 a dog barks u0-2", "u0-2 "), "text:2: key without a value"),
    "crlf": (edit("cap2utt", "u0\n", "u0\r\n"), "cap2utt:1: carriage returns"),
    "pipe": (edit("wav.scp", ".wav\n", ".wav |\n"), "wav.scp: pipes are not read: u0"),
    "zero duration": (
        edit("utt2dur", "1.500000", "0.0"),
        "utt2dur: expected a duration in seconds above 0, found: 'u0'",
    ),
    "negative duration": (edit("utt2dur", "2.500000", "-1"), "found: 'u1' '-1'"),
    "nan duration": (edit("utt2dur", "2.500000", "nan"), "found: 'u1' 'nan'"),
    "duration not a number": (edit("utt2dur", "3.500000", "long"), "found: 'u2' 'long'"),
    "sample rate": (
        edit("utt2sr", "u3 16000", "u3 44.1k"),
        "utt2sr: expected a sample rate in Hz, found: 'u3' '44.1k'",
    ),
    "utterance missing in utt2dur": (edit("utt2dur", "u1 2.500000\n", ""), "utt2dur: ids missing that wav.scp has: u1"),
    "utterance too many in utt2sr": (
        edit("utt2sr", "u3 16000\n", "u3 16000\nu4 8000\n"),
        "ids that wav.scp has not: u4",
    ),
    "caption without text": (edit("text", "u0-3 a dog barks u0-3\n", ""), "text: ids missing that cap2utt has: u0-3"),
    "text without utterance": (edit("cap2utt", "u0-3 u0\n", ""), "text: ids that cap2utt has not: u0-3"),
    "unknown utterance": (edit("cap2utt", "u3-5 u3", "u3-5 u9"), "cap2utt: utterances that wav.scp has not: u9"),
    "not the inverse": (
        edit("cap2utt", "u0-1 u0", "u0-1 u1"),
        "utt2cap: not the inverse of cap2utt for utterances: u0, u1",
    ),
    "caption listed twice": (edit("utt2cap", "u0-1 u0-2", "u0-1 u0-1 u0-2"), "utt2cap: not the inverse of cap2utt"),
    "captions of nobody": (edit("utt2cap", "u3 ", "u4 x\nu3 "), "utt2cap:5: not sorted"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_reported(sound_dir: Path, fault: str) -> None:
    apply, message = FAULTS[fault]
    apply(sound_dir)
    problems = validate(sound_dir)
    assert any(message in problem for problem in problems), problems
    assert all("mend: " in problem for problem in problems)


def test_utterance_without_captions(sound_dir: Path) -> None:
    directory = DataDir.load(sound_dir)
    directory.cap2utt = {cap: utt for cap, utt in directory.cap2utt.items() if utt != "u2"}
    directory.text = {cap: words for cap, words in directory.text.items() if cap in directory.cap2utt}
    del directory.utt2cap["u2"]
    directory.write(sound_dir)
    (problem,) = validate(sound_dir)
    assert "cap2utt: utterances without a caption: u2" in problem
    assert validate(sound_dir, need_text=False) == []


def test_all_kinds_are_reported_at_once(sound_dir: Path) -> None:
    for fault in ("unsorted", "zero duration", "caption without text", "not the inverse", "pipe"):
        FAULTS[fault][0](sound_dir)
    problems = "\n".join(validate(sound_dir))
    for fault in ("unsorted", "zero duration", "caption without text", "not the inverse", "pipe"):
        assert FAULTS[fault][1] in problems


def test_captions_in_another_order_are_sound(sound_dir: Path) -> None:
    edit("utt2cap", "u0-1 u0-2", "u0-2 u0-1")(sound_dir)
    assert validate(sound_dir) == []


def test_a_caption_of_two_utterances(sound_dir: Path) -> None:
    edit("utt2cap", "u0 u0-1 u0-2 u0-3 u0-4 u0-5\nu1 ", "u0 u0-1 u0-2 u0-3 u0-4 u0-5\nu1 u0-5 ")(sound_dir)
    edit("cap2utt", "u0-5 u0\n", "u0-5 u0\nu0-5 u1\n")(sound_dir)
    edit("text", "u0-5 a dog barks u0-5\n", "u0-5 x\nu0-5 y\n")(sound_dir)
    problems = "\n".join(validate(sound_dir))
    assert "text:6: key already seen" in problems and "cap2utt:6: key already seen" in problems


@pytest.mark.parametrize("name", ["wav.scp", "segments", "utt2dur", "utt2sr", "text", "cap2utt", "utt2cap"])
@pytest.mark.parametrize("bad", [b"\xff\n", b"zzz", b"\n", b"zzz \n", b" zzz 1\n", b"zzz 1\r\n", b"zzz\t\n"])
def test_a_bad_last_line_of_any_file_is_reported(sound_dir: Path, name: str, bad: bytes) -> None:
    with open(sound_dir / name, "ab") as stream:
        stream.write(bad)
    assert any(f"{name}:" in problem for problem in validate(sound_dir))


def test_command_that_mends_utt2cap(sound_dir: Path) -> None:
    FAULTS["not the inverse"][0](sound_dir)
    (problem,) = validate(sound_dir)
    subprocess.run(["bash", "-c", problem.partition("mend: ")[2]], check=True)
    assert validate(sound_dir) == []


def test_without_captions(sound_dir: Path) -> None:
    directory = DataDir.load(sound_dir)
    bare = DataDir(wav_scp=directory.wav_scp, utt2dur=directory.utt2dur, utt2sr=directory.utt2sr)
    bare.write(sound_dir)
    assert validate(sound_dir, need_text=False) == []
    assert len(validate(sound_dir)) == 3
    bare.about = bare.counts()  # it is known to have none
    bare.write(sound_dir)
    assert validate(sound_dir) == []


def segmented(tmp_path: Path) -> DataDir:
    utts = ["r1-a", "r1-b", "r2-a"]
    return DataDir(
        wav_scp={"r1": "x.wav", "r2": "y.wav"},
        segments={"r1-a": Segment("r1", 0, 1), "r1-b": Segment("r1", 1, 2.5), "r2-a": Segment("r2", 0.5, 1)},
        reco2dur={"r1": 2.5, "r2": 1.0},
        utt2dur=dict(zip(utts, (1.0, 1.5, 0.5))),
        utt2sr=dict.fromkeys(utts, 8000),
    )


def test_segments(tmp_path: Path) -> None:
    directory = segmented(tmp_path)
    directory.write(tmp_path)
    assert validate(tmp_path, need_text=False) == []
    directory.segments["r1-b"] = Segment("r1", 1, 3.5)
    directory.segments["r2-a"] = Segment("r3", 0.5, 1)
    directory.utt2dur["r1-a"] = 1.2
    directory.write(tmp_path)
    problems = "\n".join(validate(tmp_path, need_text=False))
    assert (
        "expected 0 <= start < end <= the recording's length, found: 'r1-b' 'r1 1.000000 3.500000' of 2.500 s"
        in problems
    )
    assert "recordings that wav.scp has not: 'r2-a' in 'r3'" in problems
    assert "utt2dur: durations other than those of segments: 'r1-a'" in problems
    assert "wav.scp: recordings without a segment: r2" in problems


@pytest.mark.parametrize("bad", ["r1 1 1", "r1 -1 1", "r1 2 1", "r1 nan 1", "r1 0 inf"])
def test_segments_must_have_a_length(tmp_path: Path, bad: str) -> None:
    directory = segmented(tmp_path)
    directory.write(tmp_path)
    edit("segments", "r1 0.000000 1.000000", bad)(tmp_path)
    assert any("expected 0 <= start" in problem for problem in validate(tmp_path, need_text=False))


def test_empty_and_missing_directories(tmp_path: Path) -> None:
    assert "no such data directory" in validate(tmp_path / "none")[0]
    for name in ("wav.scp", "utt2dur", "utt2sr"):
        (tmp_path / name).touch()
    assert any("expected at least one utterance" in problem for problem in validate(tmp_path, need_text=False))


def test_fifty_thousand_utterances(tmp_path: Path) -> None:
    """One fault among 50,000 utterances and 250,000 captions is found, in time that no stage's start will notice."""
    utts = [f"utt{i:05d}" for i in range(50_000)]
    caps = {f"{utt}-{k}": utt for utt in utts for k in range(1, 6)}
    directory = DataDir(
        wav_scp={utt: f"audio/{utt}.wav" for utt in utts},
        utt2dur=dict.fromkeys(utts, 10.0),
        utt2sr=dict.fromkeys(utts, 32000),
        text=dict.fromkeys(caps, "rain falls on a tin roof while a dog barks"),
        cap2utt=caps,
        utt2cap={utt: [f"{utt}-{k}" for k in range(1, 6)] for utt in utts},
    )
    directory.write(tmp_path)
    started = time.process_time()
    assert validate(tmp_path) == []
    assert time.process_time() - started < 3  # about 0.4 s; the bound only catches a wrong order of growth
    edit("cap2utt", "utt31234-3 utt31234\n", "utt31234-3 utt31235\n")(tmp_path)
    (problem,) = validate(tmp_path)
    assert "utterances: utt31234, utt31235;" in problem


def test_verb(sound_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(sound_dir)]) == 0
    assert capsys.readouterr().out == f"Successfully validated data-directory {sound_dir}\n"
    (sound_dir / "text").unlink()
    assert main(["validate", str(sound_dir)]) == 1
    assert "text: no such file" in capsys.readouterr().err
    for name in ("cap2utt", "utt2cap"):
        (sound_dir / name).unlink()
    assert main(["validate", "--no-text", str(sound_dir)]) == 0


def test_shell_doorway(sound_dir: Path) -> None:
    script = ROOT / "utils" / "validate_data_dir.sh"
    done = subprocess.run([script, sound_dir], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"Successfully validated data-directory {sound_dir}\n"), done.stderr
    FAULTS["unsorted"][0](sound_dir)
    done = subprocess.run([script, "--no-text", sound_dir], capture_output=True, text=True)
    assert done.returncode == 1 and "not sorted" in done.stderr


def test_shell_doorway_chooses_its_python_as_path_sh_does(tmp_path: Path) -> None:
    """ESPRET_PYTHON, else an active python3 that imports espret, else tools/venv, else any python3."""
    root = tmp_path / "a 'copy'"
    script = root / "utils/validate_data_dir.sh"
    for folder in (script.parent, root / "tools/venv/bin", tmp_path / "own", tmp_path / "active"):
        folder.mkdir(parents=True)
    shutil.copy(ROOT / "utils/validate_data_dir.sh", script)

    def interpreter(path: Path, has_espret: bool) -> None:
        answer = int(not has_espret)
        path.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exit {answer}\necho "$0" "$@"\n')
        path.chmod(0o755)

    own, active, venv = tmp_path / "own/python", tmp_path / "active/python3", root / "tools/venv/bin/python3"
    interpreter(own, True)
    interpreter(venv, True)

    def chosen(**more: str) -> str:
        environment = {"PATH": f"{active.parent}:/usr/bin:/bin", **more}
        done = subprocess.run([script, "data dir"], capture_output=True, text=True, env=environment, check=True)
        return done.stdout.removesuffix(" -m espret validate data dir\n")

    interpreter(active, True)
    assert chosen(ESPRET_PYTHON=str(own)) == str(own)
    assert chosen() == str(active)
    interpreter(active, False)
    assert chosen() == str(venv)
    venv.unlink()
    assert chosen() == str(active)
