"""Stage 3: train one system with one seed, or continue a run that was interrupted.

Leaves config.yaml, metrics.jsonl (one row an epoch), checkpoint.pt (to continue from) and best.pt (to decode with).
"""

from __future__ import annotations

import argparse
import os
import sys

from espret.bin import parser
from espret.config import load_system
from espret.errors import EspretError


def main(argv: list[str]) -> int:
    """`espret train --task retrieval --config CONF --train-data D --train-feats F ... --out EXP`."""
    args = _options().parse_args(argv)
    system = load_system(args.config)
    from pathlib import Path

    from espret.text.prepare import load_tokenizer
    from espret.training import TASKS, distributed
    from espret.training.data import Split
    from espret.training.interruption import Stopped
    from espret.training.loop import train

    task = TASKS.load(args.task)()
    device = distributed.choose_device(args.ngpu)
    processes = args.ngpu or args.processes
    if processes * args.num_nodes > 1 and distributed.LAUNCHED not in os.environ:
        distributed.relaunch(["train", *argv], processes, args.num_nodes)
    distributed.join(device)
    clean = False
    try:
        tokenizer = load_tokenizer(args.text)
        splits = (
            Split(args.train_data, args.train_feats, tokenizer, args.cache_gb),
            Split(args.valid_data, args.valid_feats, tokenizer, args.cache_gb),
        )
        run = train(system, task, splits, len(tokenizer), args.seed, Path(args.out), device, args.num_workers)
        if not run.history:
            raise EspretError(f"{args.config}: train.epochs is {system.train.epochs}; nothing was trained")
        clean = True
    except Stopped as stop:
        print(f"espret train: {stop}", file=sys.stderr, flush=True)
        return 128 + stop.number
    finally:
        distributed.leave(clean)
    return 0


def _options() -> argparse.ArgumentParser:
    options = parser("train", __doc__)
    options.add_argument("--task", required=True, help="retrieval or captioning")
    options.add_argument("--config", required=True, help="system file")
    options.add_argument("--train-data", required=True, help="data directory to train on")
    options.add_argument("--train-feats", required=True, help="its features (stage 1)")
    options.add_argument("--valid-data", required=True, help="data directory that chooses the best epoch")
    options.add_argument("--valid-feats", required=True, help="its features (stage 1)")
    options.add_argument("--text", required=True, help="tokenizer folder (stage 2)")
    options.add_argument("--seed", type=int, default=1, help="seed of everything random (default 1)")
    options.add_argument("--ngpu", type=int, default=0, help="GPUs on each node; 0: CPU (default)")
    options.add_argument("--num-nodes", type=int, default=1, help="nodes of the Slurm job (default 1)")
    options.add_argument("--processes", type=int, default=1, help="processes on the CPU when --ngpu is 0 (default 1)")
    options.add_argument(
        "--num-workers", type=int, default=2, help="reading processes for features on disk (default 2)"
    )
    options.add_argument("--cache-gb", type=float, default=2.0, help="keep smaller feature sets in memory (default 2)")
    options.add_argument("--out", required=True, help="experiment folder, one a seed")
    return options
