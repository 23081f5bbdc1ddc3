"""A run under way and what is on disk of it: starting, resuming, recording and saving. The steps of an epoch: loop.py.

Random numbers are seeded by (seed, epoch, process, step) at each step, so a checkpoint holds weights, optimiser state,
history and how far the epoch is, and no generator's state.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from espret.config import System, Train, build
from espret.disk import writing
from espret.errors import EspretError
from espret.files import remove_abandoned, write_jsonl, write_text
from espret.models import NETWORKS
from espret.models.architecture import with_architectures
from espret.training import AUGMENTATIONS, OPTIMIZERS, SCHEDULES, checkpoint, distributed, weights
from espret.training.backward import Backward
from espret.training.data import Split
from espret.training.precision import Precision
from espret.training.seeds import Seeds, only_deterministic
from espret.training.suspect import Finite

# What may change when a run is continued.
RUN_LENGTH = (
    "train.epochs",
    "train.patience",
    "train.threads",
    "train.accumulate",  # a node with less memory
    "train.save_minutes",
    "train.keep_best",
    "train.average",
)


@dataclass
class Progress:
    """How far an epoch is: its steps, the seconds they took and of these waited for data, sums over this process's
    examples."""

    step: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    totals: dict[str, Tensor] = field(default_factory=dict)

    def add(self, stats: dict[str, Tensor], examples: int, seconds: float, waited: float) -> None:
        """Count one more step, whose `stats` are means over the examples; `seconds` are those of the epoch."""
        self.step, self.seconds, self.waited = self.step + 1, seconds, waited
        for name, value in stats.items():
            self.totals[name] = self.totals.get(name, torch.zeros_like(value)) + value * examples


@dataclass
class Run:
    """`history` has one row an epoch, as in metrics.jsonl; `identity` says what may not change between resumptions."""

    system: System
    seed: int
    out: Path
    device: torch.device
    network: nn.Module
    backward: Backward
    optimizer: torch.optim.Optimizer
    schedule: Any
    augmentations: list[Any]
    ema: AveragedModel | None
    finite: Finite
    identity: dict[str, Any]
    history: list[dict[str, Any]] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)  # of the epoch after the history's last

    @property
    def evaluated(self) -> nn.Module:
        """The network whose metrics count and whose weights are kept: the moving average where there is one."""
        return self.network if self.ema is None else self.ema.module


def start(
    system: System, splits: tuple[Split, Split], vocabulary: int, seed: int, out: Path, device: torch.device
) -> Run:
    """Network and optimiser as they are before the first epoch, or as the last checkpoint in `out` has them."""
    if system.train.threads:
        torch.set_num_threads(system.train.threads)
    if device.type == "cpu":
        only_deterministic()  # it costs nothing there
    Seeds(seed).plant()
    network = build(NETWORKS, system.model, "model", dim=splits[0].dim, vocabulary=vocabulary).to(device)
    optimizer = _optimizer(system.train, network)
    run = Run(
        system=system,
        seed=seed,
        out=out,
        device=device,
        network=network,
        backward=Backward(network, Precision(system.train.precision, device), system.train.accumulate),
        optimizer=optimizer,
        schedule=build(SCHEDULES, system.train.schedule, "train.schedule"),
        augmentations=[build(AUGMENTATIONS, one, "train.augment") for one in system.train.augment],
        ema=weights.ema(network, system.train.ema),
        finite=Finite(out),
        identity=_identity(system, splits, seed),
    )
    _resume(run)
    where = {"number of epochs done": len(run.history), "step": run.progress.step}
    distributed.require_same({**run.identity, **where})
    if distributed.rank() == 0:
        _begin_folder(run)
    return run


def _begin_folder(run: Run) -> None:
    whole = replace(run.system, model=with_architectures(run.system.model, run.network))
    try:
        with writing(run.out):
            write_text(run.out / "config.yaml", yaml.safe_dump(asdict(whole), sort_keys=False, allow_unicode=True))
            write_jsonl(run.out / "metrics.jsonl", run.history)
            for folder in (run.out, run.out / weights.NBEST):
                remove_abandoned(folder)
    except (FileExistsError, NotADirectoryError):
        raise EspretError(f"{run.out}: it, or what it lies in, is a file; expected a folder, which is made") from None


def _optimizer(train: Train, network: nn.Module) -> torch.optim.Optimizer:
    trained = [one for one in network.parameters() if one.requires_grad]
    optimizer: torch.optim.Optimizer = build(OPTIMIZERS, train.optimizer, "train.optimizer", params=trained)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def _identity(system: System, splits: tuple[Split, Split], seed: int) -> dict[str, Any]:
    """What makes this run what it is, flat: options by dotted name, seed, and a hash of clips and encoded captions."""
    sections = {name: value for name, value in asdict(system).items() if name != "decode"}
    identity = {key: value for key, value in _flat(sections).items() if key not in RUN_LENGTH}
    content = json.dumps([[split.utts, split.tokens, split.dim] for split in splits])
    return {**identity, "seed": seed, "data": hashlib.sha256(content.encode()).hexdigest()[:16]}


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        key: leaf for name, inner in value.items() for key, leaf in _flat(inner, f"{prefix}.{name}".lstrip(".")).items()
    }


def _resume(run: Run) -> None:
    """Take weights, optimiser state and history from the newest checkpoint, if there is one of this very run."""
    saved = checkpoint.load_newest(run.out)
    if saved is None:
        return
    before, now = json.loads(saved["identity"]), json.loads(json.dumps(run.identity))
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if changed:
        what = "; ".join(f"{key}: {before.get(key)!r} -> {now.get(key)!r}" for key in changed[:5])
        raise EspretError(f"{run.out} holds another run ({what}); remove the folder or choose another --out")
    run.network.load_state_dict(saved["model"])
    run.optimizer.load_state_dict(saved["optimizer"])
    run.backward.precision.scaler.load_state_dict(saved["scaler"])
    if run.ema is not None:
        run.ema.load_state_dict(saved["ema"])
    run.history = json.loads(saved["history"])
    run.progress = _progress(saved["progress"], run.device)
    if distributed.rank() == 0:
        within = f", step {run.progress.step} of the next" if run.progress.step else ""
        print(f"resuming after epoch {len(run.history)} of {run.system.train.epochs}{within}", flush=True)


def _progress(saved: dict[str, Any], device: torch.device) -> Progress:
    """This process's part of what was saved; where other numbers of processes saved and go on, the first has all."""
    every: list[dict[str, Tensor]] = saved["totals"]  # none after a whole epoch
    if not every:
        return Progress()
    if len(every) == distributed.world():
        totals = every[distributed.rank()]
    elif distributed.rank() == 0:
        totals = {name: torch.stack([one[name] for one in every]).sum(0) for name in every[0]}
    else:
        totals = {name: torch.zeros_like(value) for name, value in every[0].items()}
    totals = {name: value.to(device) for name, value in totals.items()}
    return Progress(saved["step"], saved["seconds"], saved["waited"], totals)


def save_progress(run: Run) -> None:
    """Leave the run's state within an epoch on disk; all processes take part."""
    totals = distributed.gather({name: value.cpu() for name, value in run.progress.totals.items()})
    if distributed.rank() == 0:
        with writing(run.out):
            _save_state(run, totals)


def save(run: Run) -> None:
    """Leave the run's state after an epoch on disk, so that a kill between any two of these writes loses nothing but
    what came after the last checkpoint."""
    with writing(run.out):
        weights.keep(run.out, run.system.train, run.history, run.evaluated.state_dict())
        _save_state(run, [])
        weights.forget(run.out, run.system.train, run.history)
        write_jsonl(run.out / "metrics.jsonl", run.history)


def _save_state(run: Run, totals: list[dict[str, Tensor]]) -> None:
    done = run.progress
    progress = {"step": done.step, "seconds": done.seconds, "waited": done.waited, "totals": totals}
    state = {
        "model": run.network.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "scaler": run.backward.precision.scaler.state_dict(),
        "ema": {} if run.ema is None else run.ema.state_dict(),
        "history": json.dumps(run.history),
        "progress": progress,
        "identity": json.dumps(run.identity),
    }
    checkpoint.save_generation(run.out, state)


def finished(run: Run) -> bool:
    """Whether the run has all its epochs, or `patience` epochs without improvement behind it."""
    train, epochs = run.system.train, len(run.history)
    stale = epochs - weights.best_epoch(run.history, train.select)
    return epochs >= train.epochs or bool(train.patience and stale >= train.patience)
