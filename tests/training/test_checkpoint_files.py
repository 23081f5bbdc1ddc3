"""Checkpoint files: whole or absent, checked by hash, readable by torch alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_corpus import system, train_arguments

from espret.bin import main
from espret.errors import EspretError
from espret.training import checkpoint

VALUE = {"w": torch.arange(1000.0), "epoch": 3}


def test_torch_reads_it_too(tmp_path: Path) -> None:
    path = tmp_path / "a b.pt"
    checkpoint.save(path, VALUE)
    for found in (checkpoint.load(path), torch.load(path, weights_only=True), torch.load(path, mmap=True)):
        assert torch.equal(found["w"], VALUE["w"]) and found["epoch"] == 3
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("place", [0.0, 0.1, 0.5, 0.9, 0.97, 1.0])
def test_a_flipped_bit_is_seen(place: float, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    checkpoint.save(path, VALUE)
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    path.write_bytes(content)
    with pytest.raises(EspretError, match="x.pt: not a whole checkpoint: its SHA-256"):
        checkpoint.load(path)


@pytest.mark.parametrize("kept", [0, 1, 63, 64, 65, 500, -1])
def test_a_short_file_is_seen(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    checkpoint.save(path, VALUE)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(EspretError, match="not a whole checkpoint"):
        checkpoint.load(path)


def test_two_generations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checkpoint.load_newest(tmp_path) is None
    for epoch in (1, 2, 3):
        checkpoint.save_generation(tmp_path, {"epoch": epoch})
    assert checkpoint.load_newest(tmp_path) == {"epoch": 3} and capsys.readouterr().err == ""
    (tmp_path / checkpoint.LAST).write_bytes(b"PK")
    assert checkpoint.load_newest(tmp_path) == {"epoch": 2}
    assert "checkpoint.pt: not a whole checkpoint" in capsys.readouterr().err
    (tmp_path / checkpoint.PREVIOUS).write_bytes(b"")
    with pytest.raises(
        EspretError, match="no checkpoint can be read: .*checkpoint.pt: not a whole.*; mend: remove .* to start again"
    ):
        checkpoint.load_newest(tmp_path)


def test_of_checkpoints_without_a_hash_one_message_tells(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval", epochs=2))
    assert main(words) == 0
    for path in (tmp_path / "exp").glob("*.pt"):
        torch.save(torch.load(path), path)
    capsys.readouterr()
    assert main(words) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{tmp_path / 'exp' / checkpoint.LAST}: not a whole checkpoint" in error
    assert "an older espret wrote it" in error and f"mend: remove {tmp_path / 'exp'} to start again" in error


def test_what_is_no_plain_value_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "x.pt", {"model": Path("a class that is none of torch's")})
    with pytest.raises(EspretError, match="x.pt: not a checkpoint: "):
        checkpoint.load(tmp_path / "x.pt")
