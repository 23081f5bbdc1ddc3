"""Several processes: starting them with torchrun, the process group, and what losses need to see the global batch.

Without a process group every function here is the identity, so that one process needs no special case.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from espret.errors import EspretError

LAUNCHED = "ESPRET_LAUNCHED"  # set for the processes that `relaunch` starts


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0; 0 writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def choose_device(ngpu: int) -> torch.device:
    """The CPU for --ngpu 0, else this process's GPU. Raises EspretError where there are not enough."""
    if ngpu == 0:
        return torch.device("cpu")
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    local = int(os.environ.get("LOCAL_RANK", "0")) if LAUNCHED in os.environ else 0
    if found < max(local + 1, 1 if LAUNCHED in os.environ else ngpu):
        raise EspretError(
            f"--ngpu {ngpu}: found {found} usable GPU(s) (torch {torch.__version__}); use --ngpu {found}"
            + ("" if found else ", or a torch built for this machine's driver: espret doctor")
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def relaunch(argv: list[str], processes: int, nodes: int) -> None:
    """Replace this process by torchrun running `espret ARGV` in `processes` processes on each of `nodes` nodes.

    On several nodes srun starts one such process a node; they meet at MASTER_ADDR:MASTER_PORT, by default the first
    node of the Slurm job and a port made from its number.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    command += ["--standalone"] if nodes == 1 else _rendezvous(nodes)
    command += ["-m", "espret", *argv]
    os.execve(sys.executable, command, {**os.environ, LAUNCHED: "1"})


def _rendezvous(nodes: int) -> list[str]:
    if "SLURM_NODEID" not in os.environ:
        raise EspretError(f"--num-nodes {nodes}: needs Slurm (no SLURM_NODEID here); use utils/slurm.py as cuda_cmd")
    address = os.environ.get("MASTER_ADDR")
    if not address:
        names = ["scontrol", "show", "hostnames", os.environ["SLURM_JOB_NODELIST"]]
        address = subprocess.run(names, check=True, capture_output=True, text=True).stdout.split()[0]
    port = os.environ.get("MASTER_PORT") or str(20000 + int(os.environ["SLURM_JOB_ID"]) % 20000)
    node = os.environ["SLURM_NODEID"]
    return ["--nnodes", str(nodes), "--node-rank", node, "--master-addr", address, "--master-port", port]


def join(device: torch.device) -> None:
    """Enter the process group if `relaunch` started this process."""
    if LAUNCHED not in os.environ:
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    # Validation and saving happen on rank 0 while the others wait, hence the generous limit.
    dist.init_process_group(backend, timeout=datetime.timedelta(hours=2))


def leave(clean: bool) -> None:
    """Leave the process group, if in one; after a `clean` end together with the others, and this process at once.

    A process that ends while another still talks to it, or tears its communication threads down in the order of
    Python's exit, can abort (torch's gloo), and the run would count as failed after all its work.
    """
    if not dist.is_initialized():
        return
    if clean:
        dist.barrier()
    dist.destroy_process_group()
    if clean:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def broadcast(value: Any) -> Any:
    """Rank 0's `value`, on every rank."""
    if world() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def gather(value: Any) -> list[Any]:
    """The `value` of every rank, in order, on every rank."""
    if world() == 1:
        return [value]
    box: list[Any] = [None] * world()
    dist.all_gather_object(box, value)
    return box


def largest(number: int) -> int:
    """The largest `number` of all ranks, on every rank."""
    if world() == 1:
        return number
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    value = torch.tensor([number], device=device)
    dist.all_reduce(value, dist.ReduceOp.MAX)
    return int(value)


def agreed(wanted: bool) -> bool:
    """Whether any rank wants it: ranks' clocks differ."""
    return bool(largest(int(wanted)))


def total(value: Tensor) -> Tensor:
    """The sum of `value` over the processes."""
    if world() > 1:
        value = value.clone()
        dist.all_reduce(value)
    return value


def mean_over_processes(loss_sum: Tensor, count: Tensor) -> Tensor:
    """`loss_sum / count` over the global batch, scaled so that the mean of gradients over processes is its gradient."""
    return loss_sum * world() / total(count)


def gather_pairs(audio: Tensor, text: Tensor, owner: Tensor, clip: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The rows of all processes, in the order of ranks; `owner` counts from the first row of all clips.

    Every process then computes the loss of the global batch; gradients flow back to the process that made a row.
    """
    if world() == 1:
        return audio, text, owner, clip
    sizes = [torch.zeros(1, dtype=torch.long, device=audio.device) for _ in range(world())]
    dist.all_gather(sizes, torch.tensor([len(audio)], device=audio.device))
    first = int(sum(int(size) for size in sizes[: rank()]))
    return gather_rows(audio), gather_rows(text), gather_rows(owner + first), gather_rows(clip)


def gather_rows(rows: Tensor) -> Tensor:
    """The rows [n, ...] of all processes (n may differ), one below the other; differentiable."""
    return _Gather.apply(rows) if world() > 1 else rows


class _Gather(torch.autograd.Function):
    """all_gather whose backward sums the gradients that all processes have for this process's rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        sizes = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(world())]
        dist.all_gather(sizes, torch.tensor([len(rows)], device=rows.device))
        ctx.sizes = [int(size) for size in sizes]
        longest = max(ctx.sizes)
        padded = torch.cat([rows, rows.new_zeros(longest - len(rows), *rows.shape[1:])])
        parts = [torch.empty_like(padded) for _ in range(world())]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, ctx.sizes)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient.split(ctx.sizes)[rank()]
