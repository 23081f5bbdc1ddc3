"""Batches made ahead: the same ones in the same order, errors in their place, nothing left behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_corpus import DIM, system, train_arguments

from espret.bin import main
from espret.data.datadir import DataDir
from espret.errors import EspretError
from espret.features.writer import resumable_ark
from espret.files import read_json, write_json, write_text
from espret.models.batch import Batch
from espret.text.prepare import load_tokenizer
from espret.training import checkpoint
from espret.training.data import Split, cut, epoch_items, read
from espret.training.prefetch import ahead


def split(corpus: Path, **options: Any) -> Split:
    return Split(corpus / "data/train", corpus / "feats/train", load_tokenizer(corpus / "text"), **options)


def assert_same(one: Batch, other: Batch) -> None:
    assert one.utts == other.utts
    for name in ("feats", "lengths", "tokens", "owner", "clip"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize("cache_gb", [0.0, 1.0])
@pytest.mark.parametrize("workers", [1, 3])
def test_batches_made_ahead_are_those_made_when_asked_for(cache_gb: float, workers: int, corpus: Path) -> None:
    one, other = split(corpus), split(corpus, cache_gb=cache_gb)
    for epoch in (1, 2):  # what is kept in memory counts from the second on
        batches = cut(epoch_items(one, "one", 3, epoch), 4)
        made = list(read(other, batches, workers))
        assert len(made) == len(batches)
        for found, items in zip(made, batches):
            assert_same(found, one.batch(items))
        for found, items in zip(read(other, batches[2:], workers), batches[2:]):  # as where a run goes on
            assert_same(found, one.batch(items))


def test_a_batch_is_padded_with_zeros(corpus: Path) -> None:
    whole = split(corpus)
    batch = whole.batch(epoch_items(whole, "group", 1, 1)[:5])
    assert batch.feats.dtype == torch.float32 and batch.feats.shape == (5, int(batch.lengths.max()), DIM)
    for row, clip, length in zip(batch.feats, batch.clip, batch.lengths):
        assert torch.equal(row[:length], whole.features(int(clip)))
        assert not row[length:].any()


def test_results_are_in_order_whichever_is_ready_first() -> None:
    rng = random.Random(0)
    delays = [rng.choice([0, 0.01]) for _ in range(40)]

    def late(number: int) -> int:
        time.sleep(delays[number])
        return number

    assert list(ahead(late, range(40), 4)) == list(range(40))
    assert list(ahead(late, [], 2)) == []


def test_only_so_many_results_are_made_ahead() -> None:
    begun: list[int] = []
    results = ahead(begun.append, range(100), 2)
    next(results)
    time.sleep(0.1)
    assert len(begun) <= 6


def test_each_thread_begins_as_it_is_told() -> None:
    begun: set[int] = set()
    made = ahead(lambda _: threading.get_ident() in begun, range(9), 3, lambda: begun.add(threading.get_ident()))
    assert all(made) and threading.get_ident() not in begun


def test_an_error_comes_where_its_result_would_and_ends_the_threads() -> None:
    def make(number: int) -> int:
        if number >= 5:
            raise EspretError(f"no {number}")
        return number

    results = ahead(make, range(50), 3)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(EspretError, match="no 5"):
        next(results)
    assert_no_threads()


def test_who_stops_early_leaves_no_threads() -> None:
    results = ahead(lambda number: number, range(50), 3)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert_no_threads()


def assert_no_threads() -> None:
    for _ in range(100):
        if not [one for one in threading.enumerate() if one.name.startswith("ahead")]:
            return
        time.sleep(0.02)
    raise AssertionError(threading.enumerate())


@pytest.mark.parametrize("workers", [0, 2])
def test_features_that_cannot_be_read_are_named(workers: int, corpus: Path, tmp_path: Path) -> None:
    folder = copied(corpus, tmp_path)
    ark = tmp_path / "broken 'ark'.ark"
    ark.write_bytes((corpus / "feats/train/feats.1.ark").read_bytes()[:600])
    rows = (corpus / "feats/train/feats.scp").read_text().replace(str(corpus / "feats/train/feats.1.ark"), str(ark))
    write_text(folder / "feats.scp", rows)
    broken = Split(corpus / "data/train", folder, load_tokenizer(corpus / "text"))
    with pytest.raises(EspretError, match=r"broken 'ark'.ark:\d+: features of 'train-\d+' cannot be read"):
        list(read(broken, cut(epoch_items(broken, "one", 1, 1), 4), workers))


def copied(corpus: Path, tmp_path: Path) -> Path:
    """A folder of features with no feats.scp yet."""
    folder = tmp_path / "feats of its own"
    folder.mkdir()
    for name in ("about.json", "utt2num_frames"):
        write_text(folder / name, (corpus / "feats/train" / name).read_text())
    return folder


def test_float16_takes_half_the_memory_and_gives_the_same_batches(corpus: Path, tmp_path: Path) -> None:
    whole = split(corpus)
    folder = copied(corpus, tmp_path)
    with resumable_ark(folder / "feats.ark", str, "float16", 16000) as writer:
        writer.take_up({}, [])
        writer.write([(utt, whole.reader[utt]) for utt in whole.utts])
    write_text(
        folder / "feats.scp", "".join(f"{u} {folder}/feats.ark:{row.offset}\n" for u, row in writer.rows.items())
    )
    write_json(folder / "about.json", {**read_json(folder / "about.json"), "dtype": "float16"})
    frames = sum(whole.reader.num_frames().values())
    half = Split(corpus / "data/train", folder, None, cache_gb=frames * DIM * 3e-9)
    assert half.cached and not split(corpus, cache_gb=frames * DIM * 3e-9).cached
    unkept = Split(corpus / "data/train", folder, None, cache_gb=0)
    items = [(clip, ()) for clip in range(len(half.utts))]
    for _ in range(2):
        batch = half.batch(items)
        assert_same(batch, unkept.batch(items))
        assert half.features(0).dtype == torch.float16
        expected = whole.batch(items).feats.numpy().astype(np.float16).astype(np.float32)
        assert np.array_equal(batch.feats.numpy(), expected)


def test_all_captions_of_a_clip_and_none_of_another(tmp_path: Path, corpus: Path) -> None:
    whole = split(corpus)
    directory = DataDir.load(corpus / "data/train")
    for clip, numbers in enumerate(whole.captions_of()):
        assert [whole.captions[number] for number in numbers] == directory.utt2cap[whole.utts[clip]]


def test_workers_change_nothing_of_a_run(corpus: Path, tmp_path: Path) -> None:
    for name, more in (("none", ["--num-workers", "0"]), ("three", ["--num-workers", "3", "--cache-gb", "0"])):
        assert main(train_arguments(corpus, tmp_path / name, "retrieval", system("retrieval", epochs=2), *more)) == 0
    none, three = (checkpoint.load(tmp_path / name / checkpoint.LAST)["model"] for name in ("none", "three"))
    assert all(torch.equal(none[key], three[key]) for key in none)


PROGRAM = """
import os, sys, time
from espret.training.prefetch import ahead
for number in ahead(lambda n: time.sleep(0.05) or n, range(10**6), 3):
    if number == 3:
        print("going", flush=True)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_signal_ends_it_at_once_without_leftovers(name: str, tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=os.getcwd()
    )
    assert child.stdout is not None and child.stdout.readline() == "going\n"
    child.send_signal(getattr(signal, name))
    _, said = child.communicate(timeout=20)  # its pipes are closed: nobody else has them
    assert child.returncode == -getattr(signal, name)
    lines = [line for line in said.splitlines() if line and not line.startswith((" ", "Traceback"))]
    assert lines == (["KeyboardInterrupt"] if name == "SIGINT" else [])
