"""Who trains in tools/bench/train.py, espret and the plain script, and the clock that says when their phases begin."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import plain
import torch
import torch.distributed as dist
from train_systems import Case

from espret.training import loop
from espret.training.data import Item, Split, read
from espret.training.run import Run
from espret.training.seeds import Seeds

UNMEASURED = 2  # steps at the start of each turn, in which allocators and cuDNN still learn
PHASES = ("data", "forward", "backward", "optimiser")


class Clock:
    """Where phases begin: on a GPU when it comes to them, without waiting for it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.marks: list[tuple[str, Any]] = []

    def mark(self, phase: str) -> None:
        if self.device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.marks.append((phase, event))
        else:
            self.marks.append((phase, time.perf_counter()))

    def seconds(self) -> dict[str, float]:
        """The sum of each phase."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        sums = dict.fromkeys(PHASES, 0.0)
        for (phase, begun), (_, ended) in zip(self.marks, self.marks[1:]):
            sums[phase] += begun.elapsed_time(ended) / 1e3 if self.device.type == "cuda" else ended - begun
        return sums


@dataclass
class Side:
    """One who trains: `steps(items, clock)` trains on these batches and marks the phases of each step."""

    name: str
    steps: Callable[[list[Any], Clock], None]
    held: Callable[[], int]  # bytes that stay between the steps
    turns: list[dict[str, float]] = field(default_factory=list)
    peak: float = 0.0

    def turn(self, items: list[Any], device: torch.device) -> dict[str, float]:
        """Seconds of each phase of a step."""
        cuda = device.type == "cuda"
        if cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        others = torch.cuda.memory_allocated() - self.held() if cuda else 0
        clock = Clock(device)
        self.steps(items, clock)
        firsts = [number for number, (phase, _) in enumerate(clock.marks) if phase == "data"]
        clock.marks = clock.marks[firsts[UNMEASURED] :]
        found = {phase: total / (len(items) - UNMEASURED) for phase, total in clock.seconds().items()}
        self.peak = torch.cuda.max_memory_allocated() - others if cuda else 0.0
        return found


def tensors(module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Bytes of weights, gradients and the optimiser's state."""
    every = [*module.parameters(), *module.buffers()]
    every += [one.grad for one in module.parameters() if one.grad is not None]
    every += [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    return sum(one.numel() * one.element_size() for one in every if one.is_cuda)


def ours(run: Run, split: Split, workers: int) -> Side:
    """espret's step; the loop is watched, not changed."""
    clocks: list[Clock] = []
    run.network.train()
    run.backward.model.register_forward_pre_hook(lambda *_: clocks[0].mark("forward"))
    run.backward.model.register_forward_hook(lambda *_: clocks[0].mark("backward"))
    update = loop.update

    def watched(*args: Any) -> Any:
        clocks[0].mark("optimiser")
        return update(*args)

    def steps(items: list[list[Item]], clock: Clock) -> None:
        clocks[:] = [clock]
        loop.update = watched
        with deterministic(run.device.type == "cpu"):
            batches = iter(read(split, items, workers, run.device))
            clock.mark("data")
            for step, batch in enumerate(batches, 1):
                loop.train_step(run, batch, Seeds(1, 1, rank(), step))
                clock.mark("data")
        run.finite.now()
        loop.update = update

    return Side(f"espret, {run.system.train.precision}", steps, lambda: tensors(run.network, run.optimizer))


@contextlib.contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """espret asks it of torch on a CPU, the plain script does not."""
    torch.use_deterministic_algorithms(wanted)
    yield
    torch.use_deterministic_algorithms(False)


def plainly(
    one: Case, split: Split, vocabulary: int, device: torch.device, workers: int, low: torch.dtype | None
) -> Side:
    """The same step of a plain script."""
    network = one.plain(vocabulary).to(device).train()
    kind = torch.optim.AdamW if one.optimizer["type"] == "adamw" else torch.optim.Adam
    optimizer = kind(network.parameters(), lr=one.optimizer["lr"])

    def steps(items: list[list[Item]], clock: Clock) -> None:
        torch.backends.cudnn.allow_tf32 = True  # torch's own choice
        pairs = [[(split.utts[clip], split.tokens[captions[0]]) for clip, captions in batch] for batch in items]
        batches = plain.batches(split.reader.path, pairs, workers)
        clock.mark("data")
        for batch in batches:
            feats, lengths, tokens = (tensor.to(device) for tensor in batch)
            clock.mark("forward")
            optimizer.zero_grad()
            with torch.autocast(device.type, low, enabled=low is not None):
                loss = network(feats, lengths, tokens)
            clock.mark("backward")
            loss.backward()
            clock.mark("optimiser")
            optimizer.step()
            loss.item()  # for the log
            clock.mark("data")
        torch.backends.cudnn.allow_tf32 = False

    name = "plain" if low is None else "plain, bfloat16"
    return Side(name, steps, lambda: tensors(network, optimizer))


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1
