"""What the benchmarks of stage 1 share: who is compared, turns of all in one process on equal threads, and the table.

What is compared is in frontends.py and networks.py. Peers are no dependencies of espret; one that is absent is left
out, with the command that brings it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

SECONDS = 10
LIMIT = 0.9  # of a peer's speed: below it espret is called slower; what is less may be noise
# With --no-deps, for they ask for other versions of torch than espret's; so what librosa needs is named too.
LIBROSA = (
    "librosa soxr audioread decorator joblib cloudpickle scikit-learn threadpoolctl pooch "
    "platformdirs lazy_loader msgpack"
)

PACKAGES = {
    "librosa": LIBROSA,
    "torchlibrosa": f"torchlibrosa {LIBROSA}",
    "panns_inference": f"panns-inference torchlibrosa {LIBROSA}",
    "torchvggish": "torchvggish resampy",
}
Made = TypeVar("Made")


@dataclass
class Contestant:
    """One who does the work. `run` is what is timed; `result` puts what it gives as espret has it, to compare them."""

    name: str
    run: Callable[[], Any]
    result: Callable[[Any], Tensor] = torch.as_tensor
    seconds: list[float] = field(default_factory=list)  # of one `run`, each round


def parser(doc: str | None, names: Iterable[str]) -> argparse.ArgumentParser:
    """The options of both benchmarks."""
    found = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("names", nargs="*", metavar="NAME", help=f"what to compare (all): {' '.join(names)}")
    found.add_argument("--batch", type=_numbers, default=[1, 8], metavar="N[,N...]", help="clips at a time (1,8)")
    found.add_argument("--rounds", type=int, default=7, metavar="K", help="turns that each gets (7)")
    found.add_argument("--turn", type=float, default=0.3, metavar="S", help="least seconds of a turn (0.3)")
    found.add_argument("--threads", type=int, default=1, metavar="T", help="CPU threads of each (1)")
    found.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
    return found


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def chosen(options: argparse.Namespace, names: Sequence[str]) -> list[str]:
    """The names that were asked for; ends where one is not known."""
    if unknown := sorted(set(options.names) - set(names)):
        sys.exit(f"unknown: {' '.join(unknown)}; expected some of {' '.join(names)}")
    return options.names or list(names)


def prepare(options: argparse.Namespace) -> None:
    """Equal threads for all, float32 as such on a GPU; says what is measured on."""
    warnings.simplefilter("ignore")  # of peers written for older versions of torch
    torch.set_num_threads(options.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:  # comes with librosa, whose products of matrices are numpy's
        import threadpoolctl

        threadpoolctl.threadpool_limits(options.threads)
    except ModuleNotFoundError:
        pass
    place = torch.cuda.get_device_name() if options.device == "cuda" else f"{options.threads} thread(s)"
    print(f"{options.device}, {place}, torch {torch.__version__}, clips of {SECONDS} s, medians of {options.rounds}")


def waves(clips: int, rate: int, device: str = "cpu") -> Tensor:
    """[clips, samples]: noise under slow envelopes, about as loud as recordings."""
    rng = np.random.default_rng(0)
    envelope = np.repeat(rng.uniform(0, 1, (clips, 100)), rate * SECONDS // 100, axis=1)
    return torch.from_numpy(0.1 * rng.standard_normal(envelope.shape) * envelope).float().to(device)


def present(makers: Iterable[Callable[[], Made]], absent: dict[str, str]) -> list[Made]:
    """What the makers of peers make; into `absent` goes the command for a package that is not installed."""
    found = []
    for maker in makers:
        try:
            found.append(maker())
        except ModuleNotFoundError as error:
            package = str(error.name).partition(".")[0]
            absent[package] = f"{sys.executable} -m pip install --target DIR --no-deps {PACKAGES.get(package, package)}"
    return found


def report(slower: Iterable[str], absent: dict[str, str]) -> None:
    """Where peers are faster, and who was not there."""
    for line in slower:
        print(f"slower: {line}")
    for package, command in absent.items():
        print(f"left out, {package} is not installed: {command}; then PYTHONPATH=DIR")


def version(package: str) -> str:
    """A peer's name and version."""
    return f"{package} {importlib.metadata.version(package)}"


def race(contestants: Sequence[Contestant], options: argparse.Namespace) -> None:
    """Each runs in turns, in another order every other round, as often in a turn as fills its time."""

    def taken(contestant: Contestant, calls: int) -> float:
        began = time.perf_counter()
        for _ in range(calls):
            contestant.run()
        if options.device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - began) / calls

    with torch.inference_mode():
        for contestant in contestants:
            contestant.run()
        calls = [max(1, math.ceil(options.turn / taken(contestant, 1))) for contestant in contestants]
        turns = list(zip(contestants, calls))
        for number in range(options.rounds):
            for contestant, count in turns if number % 2 else reversed(turns):
                contestant.seconds.append(taken(contestant, count))


def compare(name: str, contestants: Sequence[Contestant], clips: int, options: argparse.Namespace) -> list[str]:
    """Prints differences, times and ratios to espret, the first of the contestants; returns the faster peers."""
    with torch.inference_mode():
        results = [contestant.result(contestant.run()).float().cpu() for contestant in contestants]
    race(contestants, options)
    ours = contestants[0]
    slower = []
    for contestant, result in zip(contestants, results):
        label = f"{name}, {clips} clip(s)"
        line = f"{label:<32}{contestant.name:<40}{clips / statistics.median(contestant.seconds):8.2f} clips/s"
        if contestant is not ours:
            speed = ratio(ours, contestant)
            line += f"   espret {speed:6.2f} times as fast, {_difference(results[0], result)}"
            if speed < LIMIT and not contestant.name.startswith("espret"):
                slower.append(f"{label}: {contestant.name} is {1 / speed:.2f} times as fast as espret")
        print(line, flush=True)
    return slower


def ratio(one: Contestant, other: Contestant) -> float:
    """How many times as fast as the other one is: the median of turns side by side, on which the same load weighs."""
    return statistics.median(theirs / own for theirs, own in zip(other.seconds, one.seconds))


def _difference(ours: Tensor, theirs: Tensor) -> str:
    if ours.shape != theirs.shape:
        return f"shapes {list(ours.shape)}, {list(theirs.shape)}"
    difference = (ours - theirs).abs()
    return f"differs by {difference.max():.1e} at most, {difference.mean():.1e} on average, of {theirs.abs().max():.1e}"
