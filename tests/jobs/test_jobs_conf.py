"""The configuration of slurm.py: Kaldi's grammar, the site's overlay, the order of options."""

from __future__ import annotations

from pathlib import Path

import pytest

from espret.errors import EspretError
from espret.jobs.conf import load, submit_words
from espret.jobs.spec import parse

ROOT = Path(__file__).resolve().parents[2]

# As such files look in the field, with an apostrophe in a comment.
KALDI = """
# the site's defaults
command sbatch --export=PATH  --ntasks-per-node=1
option time=* --time $0
option mem=* --mem-per-cpu $0
option mem=0          # don't ask for memory
option num_threads=* --cpus-per-task $0
option num_threads=1
default gpu=0
option gpu=0 -p shared
option gpu=* -p gpu --gres=gpu:$0 --time 4:0:0
"""


def words(folder: Path, *options: str) -> list[str]:
    return submit_words(load(str(folder / "slurm.conf")), parse([*options, "x.log", "true"], "slurm.py"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "a conf"
    path.mkdir()
    (path / "slurm.conf").write_text(KALDI)
    return path


START = ["sbatch", "--export=PATH", "--ntasks-per-node=1"]


def test_defaults_and_values(folder: Path) -> None:
    assert words(folder) == [*START, "-p", "shared"]
    assert words(folder, "--mem", "4G", "--num-threads", "2") == [
        *START, "-p", "shared", "--mem-per-cpu", "4G", "--cpus-per-task", "2",
    ]  # fmt: skip
    assert words(folder, "--mem", "0", "--num-threads", "1") == [*START, "-p", "shared"]


def test_what_the_user_gave_last_comes_last(folder: Path) -> None:
    gpu = ["-p", "gpu", "--gres=gpu:2", "--time", "4:0:0"]
    assert words(folder, "--time", "1:0:0", "--gpu", "2") == [*START, "--time", "1:0:0", *gpu]
    assert words(folder, "--gpu", "1", "--gpu", "2", "--time", "1:0:0") == [*START, *gpu, "--time", "1:0:0"]
    assert words(folder, "-p", "long", "--max-jobs-run", "3") == [*START, "-p", "shared", "-p", "long"]


def test_an_option_that_is_not_described(folder: Path) -> None:
    with pytest.raises(EspretError, match="option --num-thread is not described.*did you mean 'num-threads'"):
        words(folder, "--num-thread", "2")
    (folder / "slurm.local.conf").write_text("option gpu=0\noption gpu=1 --gres=gpu:1\n")
    with pytest.raises(EspretError, match="--gpu: the configuration does not allow '2'"):
        words(folder, "--gpu", "2")


def test_the_local_file_lies_over_it(folder: Path) -> None:
    (folder / "slurm.local.conf").write_text(
        "command sbatch --account='my project'\noption gpu=* --partition=a100 --gres=gpu:$0\ndefault gpu=1\n"
    )
    assert words(folder) == ["sbatch", "--account=my project", "--partition=a100", "--gres=gpu:1"]
    assert words(folder, "--time", "1:0:0")[-2:] == ["--time", "1:0:0"]


def test_a_value_is_one_word(folder: Path) -> None:
    (folder / "slurm.local.conf").write_text("option name=* --job-name=$0\n")
    assert words(folder, "--name", "a b; c")[-1] == "--job-name=a b; c"


@pytest.mark.parametrize("line", ["optoin mem=* -m", "option mem", "default gpu", "command", "option mem=* 'open"])
def test_a_line_that_is_wrong_is_named(folder: Path, line: str) -> None:
    (folder / "slurm.conf").write_text(f"command sbatch\n{line}\n")
    with pytest.raises(EspretError, match=r"slurm\.conf:2: "):
        words(folder)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EspretError, match="none.conf: cannot read"):
        load(str(tmp_path / "none.conf"))
    (tmp_path / "slurm.conf").write_text("default gpu=0\n")
    with pytest.raises(EspretError, match="no line 'command sbatch"):
        load(str(tmp_path / "slurm.conf"))


def test_without_a_file_there_is_a_built_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    request = parse(["--mem", "4G", "--gpu", "1", "--num-nodes", "2", "x.log", "true"], "slurm.py")
    built_in = submit_words(load(None), request)
    assert built_in[-3:] == ["--mem=4G", "--gres=gpu:1", "--nodes=2"]
    # and the one that recipes start from says the same
    assert submit_words(load(str(ROOT / "egs/mini/conf/slurm.conf")), request) == built_in
