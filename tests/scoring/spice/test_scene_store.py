"""The store of parses: kept across processes, never half, and never in the way."""

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from espret.scoring.spice.store import Store

WRITER = """
import sys
from pathlib import Path
from espret.scoring.spice.store import Store
store = Store(Path(sys.argv[1]), "parser")
for number in range(int(sys.argv[3])):
    store.put({f"{sys.argv[2]} {number} {i}": [["dog", "big"], [str(number), str(i)]] for i in range(50)})
    print(number, flush=True)
"""


def test_round_trip_and_parser_versions(tmp_path: Path) -> None:
    path = tmp_path / "böses 'Verzeichnis'" / "graphs.sqlite"
    tuples = [["café"], ["dog", "big"], ["dog", "car", "bark at"]]
    store = Store(path, "one")
    store.put({"a caption": tuples, "nothing": []})
    store.put({"a caption": [["another answer is not taken"]]})
    store.close()
    assert Store(path, "one").get(["a caption", "nothing", "unknown"]) == {"a caption": tuples, "nothing": []}
    assert Store(path, "two").get(["a caption"]) == {}


def test_more_keys_than_a_query_takes(tmp_path: Path) -> None:
    store = Store(tmp_path / "graphs.sqlite", "one")
    many = {f"caption {i}": [[str(i)]] for i in range(1234)}
    store.put(many)
    assert store.get(many) == many


def test_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "graphs.sqlite"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name, "10"], stdout=subprocess.DEVNULL)
        for name in ("a", "b", "c", "a")
    ]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0, 0]
    wanted = [f"{name} {number} {i}" for name in "abc" for number in range(10) for i in range(50)]
    assert len(Store(path, "parser").get(wanted)) == 1500


def test_a_killed_writer_loses_nothing_that_it_had_stored(tmp_path: Path) -> None:
    path = tmp_path / "graphs.sqlite"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path), "a", "100000"], stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        for _ in range(5):
            last = int(writer.stdout.readline())
        time.sleep(0.02)
        writer.kill()
    found = Store(path, "parser").get([f"a {number} {i}" for number in range(last + 1) for i in range(50)])
    assert len(found) == 50 * (last + 1)
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT count(*) FROM parse").fetchone()[0] % 50 == 0


@pytest.mark.parametrize("content", [b"this is not a database " * 100, None])
def test_a_store_that_cannot_be_used_costs_no_result(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "graphs.sqlite"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    store = Store(path, "one")
    store.put({"a": [["b"]]})
    assert store.get(["a"]) == {}
    store.close()
    assert capsys.readouterr().err.count("warning: parses are not kept") == 1
