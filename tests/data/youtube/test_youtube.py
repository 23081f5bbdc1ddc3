"""Clips from YouTube, with programs in the place of yt-dlp and ffmpeg that do for each id what the test says.

Where the real programs are on PATH, that they take our options and that the stretch is the right one.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espret.data.audio import probe
from espret.data.youtube import fetch as youtube
from espret.data.youtube.fetch import YouTubeClip, fetch_clips, states
from espret.data.youtube.programs import Programs
from espret.data.youtube.ytdlp import _cutting, classify, fetch_clip, find_tools
from espret.errors import EspretError

A, B, C = "-aaaaaaaaaa", "--bbb__bbbb", "ccccccccccc"
ROBOT = "Sign in to confirm you\u2019re not a bot. Use --cookies-from-browser or --cookies for the authentication."
UNREACHABLE = "Unable to download API page: [Errno -2] Name or service not known (caused by TransportError('...'))"

# A shell starts faster, and the versions are asked for in every test.
STARTER = f"""#!/bin/sh
case "$*" in *-version) echo 2026.01.02; exit;; esac
exec '{sys.executable}' -SE "$0.py" "$@"
"""
# In the folder $FAKES: behaviour, {id: words}, and calls, to which yt-dlp appends what it was called with.
YT_DLP = """
import json, os, sys, time
here = os.environ["FAKES"]
def note(**what):
    with open(here + "/calls", "a") as stream:
        stream.write(json.dumps(what) + "\\n")
key = sys.argv[-1].rpartition("=")[2]
note(program="yt-dlp", id=key, argv=sys.argv[1:], cwd=os.getcwd(), pid=os.getpid())
behaviour = json.load(open(here + "/behaviour"))
what, _, rest = behaviour.get(key, behaviour.get("*", "sound 300 300")).partition(" ")
if "--cookies" in sys.argv:
    with open(sys.argv[sys.argv.index("--cookies") + 1], "a") as stream:
        stream.write("# seen\\n")
if what == "stall":
    import subprocess
    child = subprocess.Popen(["sleep", "600"])
    note(program="sleep", id=key, pid=child.pid)
    open("audio.webm.part", "w").write("half")
    time.sleep(600)
if what == "usage":
    sys.stderr.write("Usage: yt-dlp [OPTIONS] URL\\n\\nyt-dlp: error: " + rest + "\\n")
    sys.exit(2)
if what == "error":
    sys.stderr.write("WARNING: [youtube] HTTP Error 429: Too Many Requests. Retrying (1/3)...\\n")
    sys.stderr.write("ERROR: [youtube] " + key + ": " + rest + "\\n")
    sys.exit(1)
if what == "sound":  # seconds that come, seconds that the video has
    came, said = rest.split()
    open("audio.webm", "w").write(came)
    print(said)
if what == "slow":
    time.sleep(0.2)
    open("audio.webm", "w").write("300")
    print("300")
"""
FFMPEG = """
import os, shutil, sys
here = os.environ["FAKES"]
words = sys.argv
track = open(words[words.index("-i") + 1]).read()
if not track.isdigit():
    sys.stderr.write("Error opening input: " + track + "\\n")
    sys.exit(183)
left = float(track) - float(words[words.index("-ss") + 1])
if "-t" in words:
    left = min(left, float(words[words.index("-t") + 1]))
shutil.copy("%s/%g.flac" % (here, max(left, 0)), words[-1])
"""


class Fakes:
    """The two programs, what they are to do, and what they were called with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name, text in (("yt-dlp", YT_DLP), ("ffmpeg", FFMPEG)):
            self.program(name, STARTER)
            (folder / f"{name}.py").write_text(text)
        for seconds in (0.25, 4, 10, 300):
            self.sound(seconds, 0.1)
        (folder / "0.flac").write_bytes((folder / "10.flac").read_bytes()[:60])
        (folder / "cut off").write_bytes((folder / "10.flac").read_bytes()[:-10])
        self.does({})

    def sound(self, seconds: float, loudness: float) -> None:
        """What ffmpeg writes for so many seconds: noise at 100 Hz, for only the length counts."""
        samples = loudness * np.random.default_rng(1).uniform(-1, 1, round(seconds * 100))
        soundfile.write(self.folder / f"{seconds:g}.flac", samples, 100)

    def program(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)

    def does(self, behaviour: dict[str, str]) -> None:
        (self.folder / "behaviour").write_text(json.dumps(behaviour))

    def calls(self, program: str = "yt-dlp") -> list[dict]:
        """What was called since the last time."""
        path = self.folder / "calls"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [row for row in rows if row["program"] == program]

    def asked(self) -> list[str]:
        """The ids that yt-dlp was asked for since the last time."""
        found = [row["id"] for row in self.calls()]
        (self.folder / "calls").unlink(missing_ok=True)
        return found


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    made = Fakes(tmp_path / "the programs")
    monkeypatch.setenv("FAKES", str(made.folder))
    monkeypatch.setenv("PATH", f"{made.folder}{os.pathsep}{os.environ['PATH']}")
    return made


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / 'it\'s "the" $HOME; %(id)s & folder'


def clip(key: str, start: float = 30, end: float | None = 40) -> YouTubeClip:
    return YouTubeClip(key, start, end)


def quiet(text: str) -> None:
    """What is said is of no interest."""


def fetch(into: Path, *keys: str, **options: object) -> dict[str, str]:
    return fetch_clips([clip(key) for key in keys], into, **{"jobs": 2, "say": quiet, **options})


def left_in(into: Path) -> list[str]:
    return sorted(path.name for path in into.iterdir() if path.name != "states.jsonl")


def gone(pid: int) -> bool:
    """Whether a process ends soon."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_brings_clips_once(fakes: Fakes, into: Path) -> None:
    said: list[str] = []
    assert fetch(into, A, B, say=said.append) == {A: "ok", B: "ok"}
    assert said == ["2 clips: 2 ok"]
    assert left_in(into) == [f"Y{B}.flac", f"Y{A}.flac"]
    assert probe(into / f"Y{A}.flac").frames == 10 * 100
    assert states(into) == {A: "ok", B: "ok"}
    call = next(call for call in fakes.calls() if call["id"] == A)
    assert call["argv"][-2:] == ["--", f"https://www.youtube.com/watch?v={A}"]
    assert not any(str(into) in word for word in call["argv"])  # yt-dlp expands what is in paths
    assert sorted(fakes.asked()) == sorted([A, B])
    assert fetch(into, A, B) == {A: "ok", B: "ok"}
    assert fakes.asked() == []


def test_a_whole_video(fakes: Fakes, into: Path) -> None:
    assert fetch_clips([clip(A, 0, None)], into, say=quiet) == {A: "ok"}
    assert probe(into / f"Y{A}.flac").frames == 300 * 100


def test_a_silent_clip_is_one(fakes: Fakes, into: Path) -> None:
    fakes.sound(10, 0.0)
    assert fetch(into, A) == {A: "ok"}


def test_an_ok_clip_whose_file_is_gone_is_fetched_again(fakes: Fakes, into: Path) -> None:
    fetch(into, A, B)
    (into / f"Y{A}.flac").unlink()
    fakes.asked()
    assert fetch(into, A, B) == {A: "ok", B: "ok"}
    assert fakes.asked() == [A]


@pytest.mark.parametrize(
    "state, message",
    [
        ("private", "Private video. Sign in if you've been granted access to this video. Use --cookies"),
        ("private", "Join this channel to get access to members-only content like this video"),
        ("private", "This video requires payment to watch"),
        ("age", "Sign in to confirm your age. This video may be inappropriate for some users. Use --cookies"),
        ("geo", "Video unavailable. The uploader has not made this video available in your country"),
        (
            "geo",
            "Video unavailable. This video contains content from X, who has blocked it in your country on x",
        ),
        ("removed", "Video unavailable"),
        ("removed", "Video unavailable\nThis video has been removed by the uploader"),
        ("removed", "Video unavailable. This video is no longer available because the account has been terminated."),
        ("removed", "Video unavailable. This video is no longer available due to a copyright claim by X"),
        ("removed", "Video unavailable. This video is not available"),
        ("failed", "Video unavailable. This content isn\u2019t available."),
        ("failed", "The following content is not available on this app. Watch on the latest version of YouTube."),
        ("failed", "Requested format is not available. Use --list-formats for a list of available formats"),
        ("failed", "unable to download video data: HTTP Error 403: Forbidden"),
        ("network", UNREACHABLE),
        ("network", "Unable to download API page: [Errno 111] Connection refused (caused by TransportError('...'))"),
        ("network", "Unable to download webpage: HTTP Error 503: Service Unavailable"),
        ("network", "[download] Got error: 1000 bytes read, 2000 more expected. Giving up after 5 retries"),
        ("network", "Unable to download webpage: The read operation timed out"),
        ("bot-check", ROBOT),
        ("bot-check", "Unable to download webpage: HTTP Error 429: Too Many Requests"),
        ("bot-check", "This content isn't available, try again later. The current session has been rate-limited"),
    ],
)
def test_what_the_messages_mean(state: str, message: str) -> None:
    assert classify(f"WARNING: [youtube] x: Private video, HTTP Error 429\nERROR: [youtube] x: {message}\n") == state


def test_only_what_may_change_is_tried_again(fakes: Fakes, into: Path) -> None:
    keys = dict(zip(("private", "removed", "geo", "age", "failed", "network"), (c * 11 for c in "123456")))
    messages = {
        "private": "This video is private",
        "removed": "Video unavailable",
        "geo": "not made this video available in your country",
        "age": "Sign in to confirm your age",
        "failed": "The page needs to be reloaded.",
        "network": UNREACHABLE,
    }
    fakes.does({keys[state]: f"error {message}" for state, message in messages.items()})
    said: list[str] = []
    found = fetch(into, *keys.values(), A, say=said.append)
    assert found == {**{key: state for state, key in keys.items()}, A: "ok"}
    assert "7 clips" in said[-1] and "1 geo" in said[-1] and "1 ok" in said[-1]
    fakes.asked()
    fakes.does({})
    found = fetch(into, *keys.values(), A)
    assert sorted(fakes.asked()) == sorted([keys["failed"], keys["network"]])
    assert found[keys["failed"]] == found[keys["network"]] == "ok" and found[keys["age"]] == "age"


def test_cookies_may_mend_what_a_guest_cannot_see(fakes: Fakes, into: Path, tmp_path: Path) -> None:
    fakes.does({A: "error Sign in to confirm your age", B: "error This video is private", C: "error Video unavailable"})
    fetch(into, A, B, C)
    fakes.asked()
    fakes.does({B: "error This video is private"})
    jar = tmp_path / "-my cookies.txt"
    jar.write_text("# Netscape HTTP Cookie File\n")
    assert fetch(into, A, B, C, cookies=str(jar)) == {A: "ok", B: "private", C: "removed"}
    argv = fakes.calls()[0]["argv"]
    assert argv[argv.index("--cookies") + 1] == "cookies.txt"
    assert jar.read_text() == "# Netscape HTTP Cookie File\n"  # yt-dlp wrote to its own
    assert sorted(fakes.asked()) == sorted([A, B])
    fetch(into, A, B, C, cookies="browser:firefox")
    assert fakes.asked() == []  # B was private with cookies, too


def test_cookies_of_a_browser(fakes: Fakes, into: Path, tmp_path: Path) -> None:
    assert fetch(into, A, cookies="browser:firefox:a profile") == {A: "ok"}
    argv = fakes.calls()[0]["argv"]
    assert argv[argv.index("--cookies-from-browser") + 1] == "firefox:a profile"
    for wrong in ("browser:", str(tmp_path / "none.txt"), str(tmp_path)):
        with pytest.raises(EspretError, match="--cookies .*expected .*browser:firefox"):
            fetch(into, B, cookies=wrong)
    fakes.does({B: "error could not find firefox cookies database in '/x'"})
    with pytest.raises(EspretError, match="--cookies: .*could not find firefox cookies database"):
        fetch(into, B, cookies="browser:firefox")
    assert states(into) == {A: "ok"}


def test_a_bot_check_stops_all_and_marks_nothing_missing(fakes: Fakes, into: Path) -> None:
    keys = [f"{number:011}" for number in range(12)]
    fakes.does({A: "stall", keys[3]: f"error {ROBOT}"})
    with pytest.raises(EspretError, match="takes us for a robot .*not a bot") as raised:
        fetch(into, A, *keys)
    message = str(raised.value)
    assert "3 clips came" in message and "10 are still to be tried" in message
    assert "--cookies FILE" in message and "browser:firefox" in message
    assert set(states(into).values()) == {"ok", "bot-check"}
    assert len(left_in(into)) == 3  # and nothing half
    assert all(gone(call["pid"]) for call in [*fakes.calls(), *fakes.calls("sleep")])
    assert len(fakes.asked()) <= 6
    fakes.does({})
    assert set(fetch(into, A, *keys).values()) == {"ok"}
    assert len(fakes.asked()) == 10


def test_a_clip_that_stalls_is_ended(fakes: Fakes, into: Path) -> None:
    fakes.does({A: "stall"})
    assert fetch(into, A, limit=1.5) == {A: "network"}
    assert left_in(into) == []
    assert gone(fakes.calls("sleep")[0]["pid"])


def test_a_clip_that_is_cut_off_is_tried_again_once(fakes: Fakes, into: Path) -> None:
    fakes.does({A: "sound 34 300", B: "sound 34 300"})
    assert fetch(into, A, B) == {A: "failed", B: "failed"}
    assert left_in(into) == []
    fakes.does({A: "sound 34 300"})
    assert fetch(into, A, B) == {A: "ok", B: "ok"}  # A came with the same length: so it is
    assert [probe(into / f"Y{key}.flac").frames for key in (A, B)] == [400, 1000]


def test_a_video_that_ends_within_the_stretch(fakes: Fakes, into: Path) -> None:
    fakes.does({A: "sound 34 34", B: "sound 20 20", C: "sound 34 NA"})
    assert fetch(into, A, B, C) == {A: "ok", B: "too-short", C: "failed"}
    row = next(row for row in map(json.loads, (into / "states.jsonl").open()) if row["id"] == A)
    assert row["seconds"] == 4.0
    fakes.asked()
    assert fetch(into, B) == {B: "too-short"}
    assert fakes.asked() == []
    assert fetch_clips([clip(B, 10, 20)], into, say=quiet) == {B: "ok"}  # another stretch
    fakes.does({A: "sound 10 10"})
    other = into / "other"
    assert fetch_clips([clip(A, 9.75, 20)], other, say=quiet) == {A: "too-short"}


@pytest.mark.parametrize("text", ["shutil.copy(here + '/cut off', words[-1])", "open(words[-1], 'w').write('no flac')"])
def test_what_ffmpeg_wrote_is_decoded(fakes: Fakes, into: Path, text: str) -> None:
    (fakes.folder / "ffmpeg.py").write_text(FFMPEG.partition("track =")[0] + text)
    assert fetch(into, A) == {A: "failed"}
    assert left_in(into) == []


def test_a_download_that_is_no_sound_or_none_at_all(fakes: Fakes, into: Path) -> None:
    fakes.does({A: "sound <html> 300", B: "nothing"})
    assert fetch(into, A, B) == {A: "failed", B: "failed"}
    assert left_in(into) == []


def test_the_network_is_down(fakes: Fakes, into: Path) -> None:
    keys = [f"{number:011}" for number in range(13)]
    fakes.does({"*": f"error {UNREACHABLE}"})
    with pytest.raises(EspretError, match="network is down: 10 clips .*Name or service not known.*HTTPS_PROXY"):
        fetch(into, *keys)
    assert set(states(into).values()) == {"network"}
    fakes.does({})
    assert set(fetch(into, *keys).values()) == {"ok"}


def test_a_yt_dlp_that_no_longer_works_stops(fakes: Fakes, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(youtube, "FAILURES", 4)
    keys = [f"{number:011}" for number in range(6)]
    fakes.does({"*": "error Requested format is not available."})
    with pytest.raises(EspretError, match=r"yt-dlp 2026.01.02 no longer gets anything: 4 .*pip install -U .*deno"):
        fetch(into, *keys)
    assert set(fetch(into, *keys).values()) == {"failed"}  # what failed before says nothing new


@pytest.mark.parametrize(
    "does, match",
    [
        ("usage no such option: --abort", "2026.01.02.* is too old: .*no such option.*mend: pip install"),
        ("error unable to write data: [Errno 28] No space left on device", "cannot be written: .*No space left"),
    ],
)
def test_what_would_fail_with_every_clip_stops_at_once(fakes: Fakes, into: Path, does: str, match: str) -> None:
    fakes.does({"*": does})
    with pytest.raises(EspretError, match=match):
        fetch(into, *(f"{number:011}" for number in range(20)))
    assert states(into) == {} and left_in(into) == []
    assert len(fakes.asked()) <= 4


def test_missing_and_broken_programs(fakes: Fakes, into: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fakes.program("ffmpeg", "#!/bin/sh\necho 'cannot open shared object file' >&2\nexit 127\n")
    with pytest.raises(EspretError, match="ffmpeg does not run: cannot open shared object.*mend: conda install"):
        fetch(into, A)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EspretError, match="no program 'yt-dlp' on PATH.*mend: pip install"):
        fetch(into, A)
    (fakes.folder / "ffmpeg").unlink()
    monkeypatch.setenv("PATH", str(fakes.folder))
    with pytest.raises(EspretError, match="no program 'ffmpeg' on PATH.*mend: conda install"):
        fetch(into, A)
    assert fetch(into) == {}  # where there is nothing to fetch, nothing is needed


def test_clips_that_cannot_be(into: Path) -> None:
    for key in ("short", "with blank ", "../../../etc", "abcdefghijkl"):
        with pytest.raises(EspretError, match="is not the id of a YouTube video; expected 11"):
            fetch(into, key)
    with pytest.raises(EspretError, match="from 40 to 30 s; expected 0 <= start < end"):
        fetch_clips([clip(A, 40, 30)], into)
    with pytest.raises(EspretError, match="two stretches, 30-40 s and 0-end s; expected one"):
        fetch_clips([clip(A), clip(A, 0, None)], into)
    with pytest.raises(EspretError, match="0 downloads at a time"):
        fetch(into, A, jobs=0)


def test_a_file_of_another_stretch_is_not_taken(fakes: Fakes, into: Path) -> None:
    fetch(into, A)
    with pytest.raises(EspretError, match=rf"Y{A}.flac: holds 30-40 s of the video; expected 50-end s; mend: remove"):
        fetch_clips([clip(A, 50, None)], into)
    assert left_in(into) == [f"Y{A}.flac"]


def test_a_half_last_line_and_a_lost_log(fakes: Fakes, into: Path) -> None:
    fetch(into, A, B, C, jobs=1)
    log = into / "states.jsonl"
    whole = log.read_bytes()
    fakes.asked()
    log.write_bytes(whole[:-20])
    assert set(states(into)) == {A, B}
    assert set(fetch(into, A, B, C).values()) == {"ok"}
    assert [json.loads(line)["state"] for line in log.open()] == ["ok"] * 3
    log.unlink()
    assert set(fetch(into, A, B, C).values()) == {"ok"}
    assert fakes.asked() == []  # whole files are never fetched again
    log.write_bytes(b"null\n" + whole)
    with pytest.raises(EspretError, match="states.jsonl:1: 'null'; expected a clip's state"):
        fetch(into, A)


RUN = """
import sys
from pathlib import Path
from espret.data.youtube.fetch import YouTubeClip, fetch_clips
fetch_clips([YouTubeClip(key, 30, 40) for key in sys.argv[2:]], Path(sys.argv[1]), 2)
"""


def started(into: Path, *keys: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", RUN, str(into), *keys]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_what_runs(fakes: Fakes, into: Path, number: int) -> None:
    fakes.does({B: "stall", C: "stall"})
    run = started(into, A, B, C)
    wait_for(lambda: len(fakes.calls("sleep")) == 2)
    run.send_signal(number)
    run.communicate(timeout=20)
    assert run.returncode in (-signal.SIGINT, 128 + number)
    assert all(gone(call["pid"]) for call in [*fakes.calls(), *fakes.calls("sleep")])
    assert left_in(into) == [f"Y{A}.flac"] and states(into) == {A: "ok"}


def test_killed_in_the_middle_nothing_is_lost(fakes: Fakes, into: Path) -> None:
    keys = [f"{number:011}" for number in range(4)]
    fakes.does({C: "stall"})
    run = started(into, *keys, C)
    wait_for(lambda: fakes.calls("sleep") and len(list(into.glob("Y*.flac"))) == 4)
    run.kill()
    run.communicate(timeout=20)
    for call in [*fakes.calls("sleep"), *(call for call in fakes.calls() if call["id"] == C)]:
        os.kill(call["pid"], signal.SIGKILL)
    assert any(name.startswith(".Y") for name in left_in(into))
    fakes.asked()
    fakes.does({})
    assert set(fetch(into, *keys, C).values()) == {"ok"}
    assert fakes.asked() == [C]
    assert left_in(into) == [f"Y{key}.flac" for key in sorted([*keys, C])]


def test_two_runs_at_once_fetch_each_clip_once(fakes: Fakes, into: Path) -> None:
    fakes.does({"*": "slow"})
    keys = [f"{number:011}" for number in range(4)]
    runs = [started(into, *keys)]
    wait_for(fakes.calls)
    runs.append(started(into, *keys))
    said = [run.communicate(timeout=20)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert "another process fetches to" in said[1] and all("4 clips: 4 ok" in text for text in said)
    assert sorted(fakes.asked()) == keys


def real(name: str) -> Callable:
    from shutil import which

    return pytest.mark.skipif(which(name) is None, reason=f"there is no {name} on PATH")


@real("ffmpeg")
@pytest.mark.parametrize("suffix", ["webm", "m4a"])
def test_ffmpeg_cuts_the_stretch(tmp_path: Path, suffix: str) -> None:
    times = np.arange(20 * 48000) / 48000
    sound = 0.5 * np.sin(2 * np.pi * np.cumsum(200 + 100 * np.floor(times)) / 48000)  # 100 Hz higher each second
    soundfile.write(tmp_path / "sound.wav", np.stack([sound, sound], axis=1), 48000)
    subprocess.run(["ffmpeg", "-v", "error", "-i", "sound.wav", f"audio.{suffix}"], cwd=tmp_path, check=True)
    track, cut = tmp_path / f"audio.{suffix}", tmp_path / "cut.flac"
    subprocess.run(["ffmpeg", *_cutting(clip(A, 13, 15), track, cut)], cwd=tmp_path, check=True)
    samples, rate = soundfile.read(cut)
    assert rate == 32000 and samples.shape == (pytest.approx(2 * rate, abs=0.02 * rate),)
    for second, hertz in ((0, 1500), (1, 1600)):
        part = samples[round((second + 0.05) * rate) : round((second + 0.95) * rate)]
        spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part))))
        assert np.argmax(spectrum) * rate / len(part) == pytest.approx(hertz, abs=3)


@real("ffmpeg")
@real("yt-dlp")
def test_yt_dlp_takes_our_options(into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # where nobody listens
    into.mkdir()
    outcome = fetch_clip(clip(A), into, find_tools(), Programs())
    assert outcome.state == "network" and "refused" in outcome.why
    assert left_in(into) == []
