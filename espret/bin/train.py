"""Stage 3: train one system with one seed, or continue a run that was interrupted.

Leaves config.yaml, metrics.jsonl (one row an epoch), checkpoint.pt (to continue from) and best.pt (to decode with).
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from espret.bin import natural, parser, positive
from espret.config import System, load_system
from espret.errors import EspretError

if TYPE_CHECKING:
    from espret.training.rendezvous import Place  # what loads torch is loaded once the configuration has been read


def main(argv: list[str]) -> int:
    """`espret train --task retrieval --config CONF --train-data D --train-feats F ... --out EXP`."""
    args = _options().parse_args(argv)
    system = load_system(args.config)
    from espret.training.interruption import Beginning

    with Beginning():
        from espret.training import TASKS, distributed
        from espret.training.launch import launch, member
        from espret.training.rendezvous import place

        kind = TASKS.load(args.task)
        processes = args.ngpu or args.processes
        with member():
            at = place(processes, args.num_nodes)
            if at is None and processes * args.num_nodes > 1:
                distributed.require_gpus(args.ngpu)
                return launch(["train", *argv], processes, args.num_nodes)
            return _train(args, system, kind, at)


def _train(args: argparse.Namespace, system: System, kind: type, at: Place | None) -> int:
    """Train as the process that is `at` this place among several, or alone."""
    from pathlib import Path

    from espret.text.prepare import load_tokenizer
    from espret.training import distributed
    from espret.training.data import Split
    from espret.training.interruption import Stopped, ignore_from_now_on
    from espret.training.loop import train
    from espret.training.rendezvous import join
    from espret.training.seeds import only_deterministic

    if args.deterministic:
        only_deterministic()
    device = distributed.choose_device(args.ngpu, at and at.local_rank)
    if at:
        join(at, device)
    status = None
    try:
        tokenizer = load_tokenizer(args.text)
        splits = (
            Split(args.train_data, args.train_feats, tokenizer, args.cache_gb),
            Split(args.valid_data, args.valid_feats, tokenizer, args.cache_gb),
        )
        task = kind(system, splits[1], tokenizer)
        run = train(system, task, splits, len(tokenizer), args.seed, Path(args.out), device, args.num_workers)
        if not run.history:
            raise EspretError(f"{args.config}: train.epochs is {system.train.epochs}; nothing was trained")
        status = 0
    except Stopped as stop:
        if at:  # the launcher passes on what may have come already
            ignore_from_now_on()
        if distributed.rank() == 0:
            print(f"espret train: {stop}", file=sys.stderr, flush=True)
        status = stop.status
    finally:
        distributed.leave(status)
    return status


def _options() -> argparse.ArgumentParser:
    options = parser("train", __doc__)
    options.add_argument("--task", required=True, help="retrieval or captioning")
    options.add_argument("--config", required=True, help="system file")
    options.add_argument("--train-data", required=True, help="data directory to train on")
    options.add_argument("--train-feats", required=True, help="its features (stage 1)")
    options.add_argument("--valid-data", required=True, help="data directory that chooses the best epoch")
    options.add_argument("--valid-feats", required=True, help="its features (stage 1)")
    options.add_argument("--text", required=True, help="tokenizer folder (stage 2)")
    options.add_argument("--seed", type=natural, default=1, help="seed of everything random (default 1)")
    options.add_argument("--ngpu", type=natural, default=0, help="GPUs on each node; 0: CPU (default)")
    options.add_argument("--num-nodes", type=positive, default=1, help="nodes of the Slurm job (default 1)")
    options.add_argument(
        "--processes", type=positive, default=1, help="processes on the CPU when --ngpu is 0 (default 1)"
    )
    options.add_argument(
        "--num-workers", type=natural, default=2, help="threads that make batches ahead (default 2; 0: none)"
    )
    options.add_argument("--cache-gb", type=float, default=2.0, help="keep smaller feature sets in memory (default 2)")
    options.add_argument(
        "--deterministic", action="store_true", help="same seed, same bits on a GPU too; slower (the CPU is always so)"
    )
    options.add_argument("--out", required=True, help="experiment folder, one a seed")
    return options
