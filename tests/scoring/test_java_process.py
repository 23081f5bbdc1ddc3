"""Java in a process of its own: odd paths, no files left behind, Ctrl-C, and parses that are made once."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from espret.scoring.java import jars
from espret.scoring.spice import install
from espret.scoring.spice import metric as spice
from espret.scoring.spice.store import Store

EVALUATE = """
from espret.scoring import java
folder = {jars!r}
if folder:
    from pathlib import Path
    java.jars = lambda: Path(folder)
    from espret.scoring.spice import metric as spice
    spice.jars = java.jars
from espret.scoring.captions import evaluate
scores = evaluate({{"a": "A dog barks.", "b": "Rain falls"}}, {{"a": ["a dog is barking"], "b": ["heavy rain falls"]}})
assert not scores.unavailable, scores.unavailable
print([scores.corpus[name] for name in ("METEOR", "SPICE", "CIDEr-D")])
"""


def evaluated(home: Path, folder: Path | None, temporary: Path) -> str:
    temporary.mkdir()
    environment = {**os.environ, "ESPRET_SPICE": str(home), "TMPDIR": str(temporary), "JAVA_HOME": "/nowhere"}
    program = EVALUATE.format(jars=str(folder) if folder else "")
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, cwd=temporary, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr  # what the Java tools print is dropped
    assert not list(temporary.iterdir())
    return done.stdout


def linked(source: Path, target: Path) -> Path:
    """A copy that takes no space where the file system has hard links."""

    def link(one: str, other: str) -> None:
        try:
            os.link(one, other)
        except OSError:
            shutil.copyfile(one, other)

    shutil.copytree(source, target, copy_function=link)
    return target


@pytest.mark.java
def test_paths_with_blanks_quotes_and_letters(tmp_path: Path) -> None:
    odd = tmp_path / "ein böser 'Pfad' \"mit\" % + # 日本"
    linked(install.home() / install.VERSION, odd / "spice" / install.VERSION)
    tools = linked(jars(), odd / "pycocoevalcap")
    plain = evaluated(install.home(), None, tmp_path / "t1")
    assert evaluated(odd / "spice", tools, tmp_path / "t2") == plain
    assert (odd / "spice" / "scene_graphs.sqlite").stat().st_size > 0


@pytest.mark.java
def test_another_java_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Path(shutil.which("java") or "/none/bin/java").resolve().parents[1]
    release = other / "release"
    if not release.is_file() or not re.search(r'^JAVA_VERSION="(1[1-9]|2\d)', release.read_text(), re.M):
        pytest.skip("no other Java from 11 on this machine")
    linked(install.home() / install.VERSION, tmp_path / "spice" / install.VERSION)
    plain = evaluated(install.home(), None, tmp_path / "t1")
    monkeypatch.setenv("ESPRET_JAVA_HOME", str(other))
    assert evaluated(tmp_path / "spice", None, tmp_path / "t2") == plain


def test_a_java_that_is_not_there() -> None:
    program = "from espret.scoring.java import start; start()"
    environment = {**os.environ, "ESPRET_JAVA_HOME": "/no/such"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert "Java in /no/such does not start" in done.stderr and "unset ESPRET_JAVA_HOME" in done.stderr


@pytest.mark.java
def test_a_caption_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "graphs.sqlite", "test")
    first = spice.tuples_of(["a big dog barks", "", "rain", "a big dog barks"], store)
    assert first["a big dog barks"] and first[""] == []

    def never(captions: list[str]) -> dict[str, list[list[str]]]:
        raise AssertionError(captions)

    monkeypatch.setattr(spice, "_parse", never)
    assert spice.tuples_of(["rain", "a big dog barks", ""], store) == first


PARSE = """
import sys
from pathlib import Path
from espret.scoring.spice import metric as spice
from espret.scoring.spice.store import Store
store = Store(Path(sys.argv[1]), "test")
print("ready", flush=True)
try:
    spice.tuples_of([f"a dog number {i} barks at the big red car of a man in the park" for i in range(20000)], store)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(130)
"""


@pytest.mark.java
def test_ctrl_c_stops_a_long_parse_and_keeps_what_is_done(tmp_path: Path) -> None:
    path = tmp_path / "graphs.sqlite"
    with subprocess.Popen([sys.executable, "-c", PARSE, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        store = Store(path, "test")
        # The longest are parsed first.
        done = [f"a dog number {i} barks at the big red car of a man in the park" for i in range(19990, 20000)]
        deadline = time.monotonic() + 120
        while len(store.get(done)) < 10 and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(timeout=60) == 130
            assert process.stdout.read() == "interrupted\n"
        finally:
            process.kill()
    assert len(store.get(done)) == 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_process_and_leaves_nothing(tmp_path, number):
    """Runners end their tasks by TERM; Java's own handlers would crash or hang there."""
    code = "from espret.scoring.java import start; start(); print('up', flush=True); import time; time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    process.send_signal(number)
    assert process.wait(20) == -number
    process.stdout.close()
    assert list(tmp_path.iterdir()) == []
