import gc
from pathlib import Path

import pytest

from espret.data.tables import collector_paused, list_sha256, read_table, scan_table, write_table
from espret.errors import EspretError


def test_round_trip_of_odd_paths(tmp_path: Path, odd_names: list[str]) -> None:
    rows = {f"u{i}": f"./{name} .wav " for i, name in enumerate(odd_names)}
    write_table(tmp_path / "wav.scp", rows)
    assert read_table(tmp_path / "wav.scp") == rows
    assert (tmp_path / "wav.scp").read_bytes().endswith(b"\n")


def test_written_in_the_order_of_bytes(tmp_path: Path) -> None:
    keys = ["b", "a", "Z", "é", "海", "a-1", "a-10", "a-2", "\U0001f600", "\uffee"]
    write_table(tmp_path / "t", dict.fromkeys(keys, "x"))
    written = [line.split(b" ")[0] for line in (tmp_path / "t").read_bytes().splitlines()]
    assert written == sorted(key.encode() for key in keys)
    assert list(read_table(tmp_path / "t")) == [key.decode() for key in written]


def test_tabs_and_runs_of_blanks_separate_too(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"a\t 1 2\nb   3\tx\n")
    assert read_table(tmp_path / "t") == {"a": "1 2", "b": "3\tx"}


def test_empty_table(tmp_path: Path) -> None:
    write_table(tmp_path / "t", {})
    assert read_table(tmp_path / "t") == {}


@pytest.mark.parametrize(
    ("content", "line", "wrong"),
    [
        (b"b 1\na 2\n", 2, "not sorted"),
        (b"a 1\na 2\n", 2, "already seen"),
        (b"a 1\nb 1\na 2\n", 3, "already seen"),
        (b"a 1\nb 2", 2, "no newline"),
        (b"a 1\r\nb 2\r\n", 1, "carriage returns"),
        (b"a 1\n\nb 2\n", 2, "empty line"),
        (b"\na 1\n", 1, "empty line"),
        (b" a 1\nb 2\n", 1, "starts with a blank"),
        (b"a 1\n b 2\n", 2, "starts with a blank"),
        (b"a 1\nb\nc 3\n", 2, "without a value"),
        (b"a 1\nb \nc 3\n", 2, "without a value"),
        (b"a 1\nb   \n", 2, "without a value"),
        (b"a 1\nb \xff\xfe\n", 2, "not UTF-8"),
    ],
)
def test_faults_of_form_are_named_with_their_line(tmp_path: Path, content: bytes, line: int, wrong: str) -> None:
    path = tmp_path / "utt2dur"
    path.write_bytes(content)
    with pytest.raises(EspretError, match=wrong) as error:
        read_table(path)
    assert f"{path}:{line}: " in str(error.value)
    assert "mend: " in str(error.value)


def test_all_kinds_of_fault_are_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(b"c 1\r\nb 2\n\nd\ne 1\ne 2\nf 3")
    _, problems = scan_table(path)
    text = "\n".join(problems)
    for wrong in ("carriage", "not sorted", "empty line", "without a value", "already seen", "no newline"):
        assert wrong in text
    assert len(problems) == 6


def test_only_the_first_five_offenders_are_named(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("".join(f"k{i:02d}\n" for i in range(20)))
    _, (problem,) = scan_table(tmp_path / "t")
    assert "'k04'" in problem and "'k05'" not in problem and "and 15 more" in problem


def test_mending_commands_work(tmp_path: Path) -> None:
    import subprocess

    path = tmp_path / "it's a file"
    for content in (b"b 1\na 2\n", b"a 1\nb 2", b"a 1\r\nb 2\r\n", b"\n a 1\n\nb 2\n"):
        path.write_bytes(content)
        _, (problem,) = scan_table(path)
        subprocess.run(["bash", "-c", problem.partition("mend: ")[2]], check=True)
        assert sorted(read_table(path)) == ["a", "b"]


@pytest.mark.parametrize("rows", [{"a b": "1"}, {"": "1"}, {"a": ""}, {"a": "x\ny"}, {"a": " x"}, {"a\t": "x"}])
def test_rows_that_could_not_be_read_back_are_not_written(tmp_path: Path, rows: dict[str, str]) -> None:
    with pytest.raises(EspretError):
        write_table(tmp_path / "t", rows)
    assert list(tmp_path.iterdir()) == []


def test_list_sha256_is_that_of_the_sorted_ids() -> None:
    import hashlib

    assert list_sha256(["b", "a"]) == hashlib.sha256(b"a\nb\n").hexdigest()


@pytest.mark.parametrize("before", [True, False])
def test_the_collector_goes_on_as_before_after_an_error(tmp_path: Path, before: bool) -> None:
    (gc.enable if before else gc.disable)()
    try:
        with collector_paused():
            assert not gc.isenabled()
            with pytest.raises(EspretError, match="no such file"):
                read_table(tmp_path / "t")
            assert not gc.isenabled()
        assert gc.isenabled() is before
        with pytest.raises(ZeroDivisionError), collector_paused():
            raise ZeroDivisionError
        assert gc.isenabled() is before
    finally:
        gc.enable()
