"""Training in several processes: this process's device and place, and what losses need to see the global batch.

Without a process group every function here is the identity, so that one process needs no special case. How the
processes are started: launch.py; how they meet: rendezvous.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from espret.errors import EspretError


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0; 0 writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def require_gpus(ngpu: int) -> int:
    """How many GPUs there are for us. Raises EspretError if they are fewer than `ngpu`."""
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found < ngpu:
        raise EspretError(
            f"--ngpu {ngpu}: found {found} usable GPU(s) (torch {torch.__version__}); use --ngpu {found}"
            + ("" if found else ", or a torch built for this machine's driver: espret doctor")
        )
    return found


def choose_device(ngpu: int, local: int | None = None) -> torch.device:
    """The CPU for --ngpu 0, else a GPU: the first, or that of process `local` of several on this node.

    Raises EspretError where there are too few.
    """
    if ngpu == 0:
        return torch.device("cpu")
    found = require_gpus(ngpu if local is None else 1)
    # A process that sees one GPU may have been given its own, by srun; whether all are different: rendezvous.py.
    number = 0 if found == 1 else local or 0
    if number >= found:
        raise EspretError(f"process {local} of this node finds no GPU of its own, only {found}; use --ngpu {found}")
    device = torch.device("cuda", number)
    torch.cuda.set_device(device)
    return device


def leave(status: int | None) -> None:
    """Leave the process group, if in one; with a `status` to exit with, on which all have agreed, together with the
    others, and end this process at once.

    A process that ends while another still talks to it, or tears its communication threads down in the order of
    Python's exit, can abort (torch's gloo), and the run would count as failed after all its work.
    """
    if not dist.is_initialized():
        return
    if status is not None:
        dist.barrier()
    dist.destroy_process_group()
    if status is not None:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # one that the user has closed
                stream.flush()
        os._exit(status)


def require_same(values: dict[str, Any]) -> None:
    """Raise EspretError, in every process, where not all have the same `values`, named by what they are."""
    first, *others = gather(values)
    for number, other in enumerate(others, 1):
        for name, ours in first.items():
            if other.get(name) != ours:
                raise EspretError(
                    f"process {number} has another {name} ({other.get(name)!r:.80}) than process 0 ({ours!r:.80}); "
                    "expected all processes to read the same files; mend: use folders that all nodes share"
                )


# For what Python decides by: values on the CPU, which go from process to process without making a GPU wait.
_control: list[dist.ProcessGroup] = []


def open_control() -> None:
    """After the process group is made: its second channel, on the CPU, where the first is the GPUs'."""
    _control[:] = [dist.new_group(backend="gloo")] if dist.get_backend() == "nccl" else []


def _channel() -> dist.ProcessGroup | None:
    return _control[0] if _control else None


def broadcast(value: Any) -> Any:
    """Rank 0's `value`, on every rank."""
    if world() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0, group=_channel())
    return box[0]


def gather(value: Any) -> list[Any]:
    """The `value` of every rank, in order, on every rank."""
    if world() == 1:
        return [value]
    box: list[Any] = [None] * world()
    dist.all_gather_object(box, value, group=_channel())
    return box


def gather_counts(*counts: int) -> list[list[int]]:
    """The `counts` of every rank, in order, on every rank."""
    if world() == 1:
        return [[*counts]]
    box = [torch.zeros(len(counts), dtype=torch.long) for _ in range(world())]
    dist.all_gather(box, torch.tensor(counts), group=_channel())
    return [one.tolist() for one in box]


def largest(number: int) -> int:
    """The largest `number` of all ranks, on every rank."""
    return max(count for (count,) in gather_counts(number))


def agreed(wanted: bool) -> bool:
    """Whether any rank wants it: ranks' clocks differ."""
    return bool(largest(int(wanted)))


def total(value: Tensor) -> Tensor:
    """The sum of `value` over the processes."""
    if world() > 1:
        value = value.clone()
        dist.all_reduce(value)
    return value


def means_over_processes(sums: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """`sums / count` [n] over the global batch: once such that the mean of its gradients over processes is that of the
    global batch, and once its values, the same in every process."""
    every = total(torch.cat([sums.detach(), count.to(sums)[None]]))
    return sums * world() / every[-1], every[:-1] / every[-1]


def gather_pairs(audio: Tensor, text: Tensor, owner: Tensor, clip: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The rows of all processes, in the order of ranks; `owner` counts from the first row of all clips.

    Every process then computes the loss of the global batch; gradients flow back to the process that made a row.
    """
    if world() == 1:
        return audio, text, owner, clip
    counts = gather_counts(len(audio), len(text))
    clips, captions = ([count[column] for count in counts] for column in (0, 1))
    audio, clip = gather_rows(audio, clips), gather_rows(clip, clips)
    return audio, gather_rows(text, captions), gather_rows(owner + sum(clips[: rank()]), captions), clip


def gather_rows(rows: Tensor, sizes: Sequence[int]) -> Tensor:
    """The rows [n, ...] of all processes, of which each has `sizes`, one below the other; differentiable."""
    return _Gather.apply(rows, sizes) if world() > 1 else rows


class _Gather(torch.autograd.Function):
    """all_gather whose backward sums the gradients that all processes have for this process's rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: Sequence[int]) -> Tensor:
        ctx.sizes = list(sizes)
        padded = torch.cat([rows, rows.new_zeros(max(sizes) - len(rows), *rows.shape[1:])])
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient.split(ctx.sizes)[rank()], None
