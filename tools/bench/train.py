#!/usr/bin/env python3
"""Stage 3: where the time of a training step goes, beside the same step of a careful but plain script (plain.py).

    tools/bench/train.py [NAME ...] [--size small|real] [--device cpu|cuda] [--steps N] [--rounds K] [--out FILE]

Retrieval with CNN14 and with PaSST beside BERT, and a captioning decoder on PANNs' frames; random weights, generated
features in arks of float32. espret's step is the training loop's own (`espret.training.loop.train_step`), reading
included; --size real (sizes as published, espret in bfloat16) is for a GPU, small for two CPU cores (float32). Both
sides train on the same batches, in turns of N steps after two that do not count; printed are medians of K turns:
milliseconds a step, by the GPU's clock there, and of these reading (the copy to the GPU and augmentation included),
forward pass, backward pass, optimiser (gradients' norm included); clips/s, memory at its peak, FLOPs of espret's step
and the share of the device's peak (dense bfloat16; on a CPU what products of large float32 matrices reach), and how
many times as fast espret is: the median of the turns' ratios, the lowest and the highest.

--processes 2: espret in as many processes (nccl on GPUs of their own, gloo on a CPU), each with its part of the batch;
communication is what the backward pass takes longer than without adding up gradients.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.flop_counter import FlopCounterMode
from train_sides import PHASES, UNMEASURED, Clock, Side, ours, plainly, rank, world
from train_systems import NAMES, Case, case, make

from espret.config import Features, System, Text, Train
from espret.files import write_json
from espret.text.prepare import load_tokenizer
from espret.training.data import Split, cut, epoch_items
from espret.training.run import start

PEAKS = {  # FLOP/s in dense bfloat16, by a word of the device's name
    "H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "GH200": 989e12, "A100": 312e12, "A30": 165e12,
    "A40": 149.7e12, "L40S": 362e12, "L4": 121e12, "RTX 4090": 165e12, "RTX 3090": 71e12,
}  # fmt: skip


def peak_of(device: torch.device) -> tuple[float, str]:
    """FLOP/s that the device can reach at most, and how that is known; 0 where it is not."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name()
        found = [value for word, value in PEAKS.items() if re.search(rf"\b{word}\b", name)]
        return (found[0], f"{found[0] / 1e12:.0f} TFLOP/s in dense bfloat16") if found else (0.0, "peak not known")
    a, taken = torch.randn(2048, 2048), []
    for _ in range(4):
        began = time.perf_counter()
        a @ a
        taken.append(time.perf_counter() - began)
    best = 2 * 2048**3 / min(taken)
    return best, f"products of float32 matrices of 2048 x 2048 reach {best / 1e9:.0f} GFLOP/s"


def bench(name: str, options: argparse.Namespace, device: torch.device, peak: float) -> list[dict[str, Any]]:
    """One system: prints its lines and returns them."""
    one = case(name, options.size)
    count = options.steps + UNMEASURED
    precision = "bfloat16" if device.type == "cuda" else "float32"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        split = make(folder, one, one.batch * min(count, 16))
        vocabulary = len(load_tokenizer(folder / "text"))
        train = Train(batch_size=one.batch, optimizer=one.optimizer, precision=precision, threads=options.threads)
        system = System(Features("bench", {"type": "logmel"}), Text("word", {"type": "word"}), one.model, train)
        run = start(system, (split, split), vocabulary, 1, folder / "exp", device)
        sides = [ours(run, split, options.workers)]
        if world() == 1:
            lows = [None, torch.bfloat16] if device.type == "cuda" else [None]
            sides += [plainly(one, split, vocabulary, device, options.plain_workers, low) for low in lows]
        every = batches_of(split, one.batch, count)
        flops = counted(sides[0], every)
        apart: list[float] = []
        for number in range(options.rounds):
            for side in sides if number % 2 else reversed(sides):
                side.turns.append(side.turn(every, device))
            if world() > 1:
                with run.backward.model.no_sync():  # type: ignore[operator]
                    apart.append(sides[0].turn(every, device)["backward"])
    return [printed(name, one, side, sides[0], flops, peak, apart) for side in sides]


def batches_of(split: Split, size: int, count: int) -> list[Any]:
    """So many batches of this process, of as many epochs as that takes."""
    found: list[Any] = []
    while len(found) < count:
        found += cut(epoch_items(split, "one", 1, 1 + len(found)), size, rank(), world())
    return found[:count]


def counted(side: Side, every: list[Any]) -> float:
    """FLOPs of a step, as torch counts those of products and convolutions."""
    counter = FlopCounterMode(display=False)
    with counter:
        side.steps(every[:1], Clock(torch.device("cpu")))
    return float(counter.get_total_flops())


def printed(
    name: str, one: Case, side: Side, first: Side, flops: float, peak: float, apart: list[float]
) -> dict[str, Any]:
    """A side's figures, printed too (by the first process)."""
    row = {phase: 1e3 * statistics.median(turn[phase] for turn in side.turns) for phase in PHASES}
    steps = [sum(turn.values()) for turn in side.turns]
    row["communication"] = max(0.0, row["backward"] - 1e3 * statistics.median(apart)) if apart else 0.0
    row["backward"] -= row["communication"]
    seconds = statistics.median(steps)
    ratios = [theirs / sum(own.values()) for theirs, own in zip(steps, first.turns)]
    flops = flops if side is first else 0.0
    found = {
        "system": name,
        "side": side.name,
        "step_ms": 1e3 * seconds,
        **row,
        "clips_per_second": one.batch / seconds,
        "peak_gb": side.peak / 1e9 or None,
        "flops": flops,
        "share_of_peak": flops / seconds / peak if peak else 0.0,
        "espret_times_as_fast": statistics.median(ratios),
        "from": min(ratios),
        "to": max(ratios),
    }
    if rank() == 0:
        print(line(found), flush=True)
    return found


COLUMNS = ("step_ms", *PHASES, "communication", "clips_per_second", "peak_gb")


def line(found: dict[str, Any]) -> str:
    figures = ("-" if found[name] is None else f"{found[name]:.1f}" for name in COLUMNS)
    text = f"{found['system']:<11}{found['side']:<18}" + "".join(f"{figure:>10}" for figure in figures)
    if not found["flops"]:
        return text + "  espret is {espret_times_as_fast:.2f} ({from:.2f} to {to:.2f}) times as fast".format(**found)
    share = f", {100 * found['share_of_peak']:.1f} % of the peak" if found["share_of_peak"] else ""
    return text + f"  {found['flops'] / 1e9:.1f} GFLOP a step{share}"


def main() -> int:
    options = parsed()
    if options.processes > 1 and "LOCAL_RANK" not in os.environ:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        # torchrun's own choice, of which it warns where nobody made it.
        threads = {"OMP_NUM_THREADS": "1", **os.environ}
        return subprocess.run([*command, str(options.processes), __file__, *sys.argv[1:]], env=threads).returncode
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if options.device == "cuda" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if options.processes > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    if options.threads:
        torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    peak, how = peak_of(device)
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU thread(s)"
    heads = "".join(f"{name:>10}" for name in ("step ms", *PHASES, "commun.", "clips/s", "peak GB"))
    if rank() == 0:
        print(f"{where}, torch {torch.__version__}, size {options.size}, {world()} process(es); {how}\n{'':<29}{heads}")
    rows = [row for name in options.names or NAMES for row in bench(name, options, device, peak)]
    if options.out and rank() == 0:
        asked = {name: getattr(options, name) for name in ("size", "steps", "rounds", "processes")}
        write_json(options.out, {"device": where, "torch": torch.__version__, **asked, "peak": peak, "rows": rows})
    if dist.is_initialized():
        dist.destroy_process_group()
    return 0


def parsed() -> argparse.Namespace:
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"systems (all): {' '.join(NAMES)}")
    parser.add_argument("--size", choices=("small", "real"), default="real" if cuda else "small")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if cuda else "cpu")
    parser.add_argument("--steps", type=int, default=20 if cuda else 2, metavar="N", help="steps of a turn")
    parser.add_argument("--rounds", type=int, default=5 if cuda else 2, metavar="K", help="turns that each gets")
    parser.add_argument("--workers", type=int, default=2, help="threads that read ahead (2)")
    parser.add_argument("--plain-workers", type=int, default=2, help="the plain script's DataLoader processes (2)")
    parser.add_argument("--processes", type=int, default=1, metavar="P", help="of espret (1)")
    parser.add_argument("--threads", type=int, default=0, metavar="T", help="CPU threads (torch's choice)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the figures as JSON")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(NAMES)):
        parser.error(f"unknown: {' '.join(unknown)}; expected some of {' '.join(NAMES)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
