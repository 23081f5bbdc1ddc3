"""`espret fetch-checkpoint`: from a server on this machine or from a file, verified, unpacked, tried."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from web_server import Web, serving

from espret import download
from espret.audio import checkpoint, published
from espret.audio.checkpoint import load_network
from espret.audio.network import Extractor
from espret.bin import fetch_checkpoint, main
from espret.registry import Registry


class Mine(Extractor):
    """The network `mine`; the others of the table here have none in espret."""

    sample_rate, dim, hop_seconds = 16000, 2, 0.0

    def __init__(self, sample_rate: int, checkpoint: str = "official") -> None:
        super().__init__()
        self.network, self.provenance = load_network("mine", checkpoint, lambda: nn.Linear(3, 2))

    def frames(self, samples: int) -> int:
        return 1

    def forward(self, samples: Tensor) -> Tensor:
        return samples


def weights(**tensors: Tensor) -> bytes:
    stream = io.BytesIO()
    torch.save({"model": tensors}, stream)
    return stream.getvalue()


MINE = weights(weight=torch.ones(2, 3), bias=torch.zeros(2))
OTHER = weights(x=torch.arange(4.0))
ROWS = {  # path on the server, content, size, digest
    "mine": ("/a/m=1%20'x'.pth", MINE, len(MINE), "-"),
    "hashed": ("/h.pth?download=1", OTHER, "-", f"md5:{hashlib.md5(OTHER).hexdigest()}"),
    "named": ("/n.pth", OTHER, "-", f"sha256-prefix:{hashlib.sha256(OTHER).hexdigest()[:8]}"),
    "packed": ("/p.pth.gz", gzip.compress(OTHER), "-", "-"),
}


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as made:
        made.files.update({path: content for path, content, _, _ in ROWS.values()})
        yield made


@pytest.fixture
def home(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where checkpoints come to; the table names the server's files."""
    lines = [
        f"{name}\t{web.url}{path}\t{size}\t{digest}\tMIT\t16000\t1\t2\tone\tme/mine"
        for name, (path, _, size, digest) in ROWS.items()
    ]
    (tmp_path / "networks.tsv").write_text("# a comment\nname\n" + "\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.setattr(published, "TABLE", tmp_path / "networks.tsv")
    monkeypatch.setenv("ESPRET_CHECKPOINTS", str(tmp_path / "my 'checkpoints'; é"))
    monkeypatch.setattr(download, "PAUSES", (0.0, 0.0))
    registry = Registry("front end", {"mine": f"{__name__}:Mine"})
    monkeypatch.setattr(fetch_checkpoint, "FRONTENDS", registry)
    monkeypatch.setattr(checkpoint, "FRONTENDS", registry)
    return tmp_path / "my 'checkpoints'; é"


def files(home: Path) -> list[str]:
    return sorted(
        str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and path.name != ".install.lock"
    )


def run(*words: str | Path) -> int:
    return main(["fetch-checkpoint", *map(str, words)])


def test_brings_each_verified_and_unpacked_once(web: Web, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*ROWS) == 0
    assert files(home) == ["hashed/h.pth", "mine/m=1 'x'.pth", "named/n.pth", "packed/p.pth"]
    assert (home / "packed" / "p.pth").read_bytes() == OTHER and (home / "mine" / "m=1 'x'.pth").read_bytes() == MINE
    said = capsys.readouterr().out.splitlines()
    assert (
        said[0] == f"mine: {home}/mine/m=1 'x'.pth (no digest is published; sha256 {hashlib.sha256(MINE).hexdigest()})"
    )
    assert said[1] == f"hashed: {home}/hashed/h.pth (as published)"
    asked = len(web.requests)
    assert run(*ROWS) == 0 and len(web.requests) == asked
    assert checkpoint.checkpoint_path("mine", "official") == home / "mine" / "m=1 'x'.pth"


def test_goes_on_after_a_cut_and_replaces_what_is_damaged(web: Web, home: Path) -> None:
    web.faults["/h.pth?download=1"] = ["cut 100"]
    assert run("hashed") == 0 and len(web.requests) == 2
    (home / "hashed" / "h.pth").write_bytes(OTHER[:-1])
    assert run("hashed") == 0 and (home / "hashed" / "h.pth").read_bytes() == OTHER


@pytest.mark.parametrize(
    "name, problem", [("hashed", "md5"), ("named", "sha256"), ("packed", "web page"), ("mine", "missing")]
)
def test_another_file_is_not_taken(
    name: str, problem: str, web: Web, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, content = ROWS[name][0], ROWS[name][1]
    wrong = weights(bias=torch.zeros(2))
    web.files[path] = gzip.compress(b"<html>") if name == "packed" else wrong + bytes(len(content) - len(wrong))
    assert run(name) == 1
    assert files(home) == [] and problem in capsys.readouterr().err
    web.files[path] = content
    assert run(name) == 0 and len(files(home)) == 1


def test_a_file_brought_from_elsewhere(web: Web, home: Path, tmp_path: Path) -> None:
    for name, (_, content, _, _) in ROWS.items():
        (tmp_path / f"-{name} ö").write_bytes(content)
        assert run(name, f"--from={tmp_path}/-{name} ö") == 0
    (tmp_path / "unpacked").write_bytes(OTHER)
    (tmp_path / "packed").write_bytes(gzip.compress(OTHER))
    assert run("hashed", "--from", tmp_path / "packed") == 0
    assert run("packed", "--from", tmp_path / "unpacked") == 0
    assert files(home) == ["hashed/h.pth", "mine/m=1 'x'.pth", "named/n.pth", "packed/p.pth"]
    assert (home / "packed" / "p.pth").read_bytes() == OTHER and web.requests == []


def test_a_wrong_file_from_elsewhere_leaves_what_is_there(
    web: Web, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("mine", "hashed") == 0
    (tmp_path / "hashed").write_bytes(OTHER)
    (tmp_path / "other.gz").write_bytes(gzip.compress(MINE))
    (tmp_path / "short").write_bytes(gzip.compress(MINE)[:-20])
    for name, file, message in [
        ("mine", "hashed", "it is that of hashed"),
        ("hashed", "none", "no such file"),
        ("hashed", "other.gz", "not the checkpoint hashed: md5"),
        ("mine", "short", "cannot be unpacked"),
        ("packed", "networks.tsv", "no file of weights"),
    ]:
        assert run(name, "--from", tmp_path / file) == 1
        assert message in capsys.readouterr().err
    assert files(home) == ["hashed/h.pth", "mine/m=1 'x'.pth"]
    assert (home / "mine" / "m=1 'x'.pth").read_bytes() == MINE


def test_names_and_words_that_are_wrong(web: Web, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("mine", "hased") == 1 and web.requests == []
    assert "'hased'; did you mean 'hashed'?" in capsys.readouterr().err
    for words in ([], ["mine", "hashed", "--from", "x"]):
        with pytest.raises(SystemExit):
            run(*words)


def test_the_list_marks_what_is_here(web: Web, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("hashed") == 0
    capsys.readouterr()
    assert run("--list") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines] == [
        ["name", "here"], ["mine", "-"], ["hashed", "yes"], ["named", "-"], ["packed", "-"]
    ]  # fmt: skip
    assert lines[1][-1] == f"{web.url}/a/m=1%20'x'.pth"
