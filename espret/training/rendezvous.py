"""How processes that train together meet: this one's place among them, and the process group, tried out at once.

A process is one of several if espret's own launcher (launch.py) started it, or torchrun, or srun with a task for each.
Meeting is under a limit (ESPRET_MEET_SECONDS, 120): a process that never arrives, a firewall or a wrong network
interface ends in a message instead of a long wait.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.distributed as dist

from espret.errors import EspretError
from espret.training import distributed

LAUNCHED = "ESPRET_LAUNCHED"  # set, to the launcher's process id, for what launch.py starts
REPORTS = "ESPRET_REPORTS"  # set, to a folder, for what launch.py starts
LIMIT = "ESPRET_MEET_SECONDS"
TORCHRUN = "TORCHELASTIC_RUN_ID"
INTERFACE = {"gloo": "GLOO_SOCKET_IFNAME", "nccl": "NCCL_SOCKET_IFNAME"}

_stores: list[dist.Store] = []  # of this process, kept for `failures`


class Place(NamedTuple):
    """A process among those that train together, and where they meet. `serves`: it keeps the store for all."""

    rank: int
    local_rank: int
    world: int
    address: str
    port: int
    serves: bool


def place(processes: int, nodes: int) -> Place | None:
    """This process's place among `processes` on each of `nodes` nodes; None if it is to start them, or is alone.

    Raises EspretError if other numbers of processes or nodes were started than were asked for.
    """
    if LAUNCHED in os.environ or TORCHRUN in os.environ:
        local, world = int(os.environ["LOCAL_RANK"]), int(os.environ["WORLD_SIZE"])
        if world != processes * nodes:
            raise EspretError(
                f"torchrun started {world} processes, but --ngpu (or --processes) {processes} and --num-nodes {nodes} "
                f"ask for {processes * nodes}; mend: leave torchrun out, espret train starts its processes itself"
            )
        rank, port = int(os.environ["RANK"]), int(os.environ["MASTER_PORT"])
        kept = LAUNCHED in os.environ or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        return Place(rank, local, world, os.environ["MASTER_ADDR"], port, rank == 0 and not kept)
    tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
    if tasks == _step_nodes() == nodes:  # a launcher on each node
        return None
    if tasks == processes * nodes and _step_nodes() == nodes:
        rank = int(os.environ["SLURM_PROCID"])
        return Place(rank, int(os.environ["SLURM_LOCALID"]), tasks, *slurm_address(), rank == 0)
    raise EspretError(
        f"--num-nodes {nodes} with {processes} process(es) on each, but this was started "
        + (
            f"by srun as {tasks} task(s) on {_step_nodes()} node(s)"
            if "SLURM_STEP_ID" in os.environ
            else "without srun"
        )
        + f"; mend: srun --nodes={nodes} --ntasks-per-node=1 espret train ... in a job of {nodes} node(s)"
    )


def _step_nodes() -> int:
    return int(os.environ.get("SLURM_STEP_NUM_NODES", "1"))


def slurm_address() -> tuple[str, int]:
    """Where the processes of a Slurm step meet: MASTER_ADDR and MASTER_PORT, by default the step's first node and a
    port made from the job's number."""
    port = os.environ.get("MASTER_PORT") or 20000 + int(os.environ["SLURM_JOB_ID"]) % 12000
    return os.environ.get("MASTER_ADDR") or _first_node(os.environ["SLURM_STEP_NODELIST"]), int(port)


def _first_node(nodes: str) -> str:
    """The address of a node list's first; its name need not be one that the network knows."""
    try:
        name = _scontrol("show", "hostnames", nodes)[0]
        fields = dict(field.partition("=")[::2] for field in _scontrol("-o", "show", "node", name))
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        raise EspretError(f"the first node of {nodes} is not known: {error}; mend: set MASTER_ADDR to it") from None
    return fields.get("NodeAddr", name)


def _scontrol(*words: str) -> list[str]:
    return subprocess.run(["scontrol", *words], check=True, capture_output=True, text=True, timeout=60).stdout.split()


def join(at: Place, device: torch.device) -> None:
    """Enter the process group and sum over it once. Raises EspretError, or ends the process, if that does not work."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    seconds = float(os.environ.get(LIMIT) or 120)

    def message(what: str) -> str:
        return (
            f"process {at.rank} of {at.world} on {os.uname().nodename}: {what}; expected all to meet at "
            f"{at.address}:{at.port} and to sum a number by {backend} within {seconds:g} s ({LIMIT}); mend: see that "
            "every node runs its part and reaches that address (firewalls), and set "
            f"{INTERFACE[backend]} to the network interface that joins the nodes"
        )

    try:
        store = _meet(at, device, seconds)
        with _or_end(seconds, message("the first sum over all processes hangs")):
            _sum_once(at, device, backend, store)
    except (RuntimeError, ValueError, OSError) as error:
        raise EspretError(message(str(error).splitlines()[0][:300])) from None


def _sum_once(at: Place, device: torch.device, backend: str, store: dist.Store) -> None:
    # Validation and saving happen on rank 0 while the others wait, hence the generous limit.
    patience = datetime.timedelta(hours=2)
    dist.init_process_group(backend, store=store, rank=at.rank, world_size=at.world, timeout=patience)
    distributed.open_control()
    value = torch.tensor([at.rank + 1.0], device=device)
    dist.all_reduce(value)
    if value.item() != at.world * (at.world + 1) / 2:
        raise RuntimeError(f"the sum over the processes is wrong: {value.item()}")


def failures() -> int:
    """The number of this failure among those of all processes, from 1; 0 where they had not met, or do not any more."""
    try:
        return int(_stores[0].add("failures", 1)) if _stores else 0
    except RuntimeError:
        return 0


def divert() -> None:
    """From now on, what this process says on stderr is the report of its failure, of which the launcher shows one."""
    folder = os.environ.get(REPORTS)
    if folder:
        sys.stderr.flush()
        name = f"{folder}/{failures():09d}.{time.time_ns()}.{os.environ['RANK']}"
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)


def _meet(at: Place, device: torch.device, seconds: float) -> dist.Store:
    """The store of all processes, once all have come. Raises RuntimeError naming those that have not."""
    begun = time.monotonic()
    limit = datetime.timedelta(seconds=seconds)
    server = dist.TCPStore(at.address, at.port, is_master=at.serves, timeout=limit)
    # torchrun's store is used again by processes that it restarts.
    store = dist.PrefixStore(f"espret/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", server)
    _stores[:] = [store]
    host = os.uname().nodename
    store.set(f"rank{at.rank}", json.dumps([host, _gpu(device)]))
    absent = list(range(at.world))
    while absent:
        absent = [rank for rank in absent if not store.check([f"rank{rank}"])]
        if absent and time.monotonic() - begun > seconds:
            raise RuntimeError(f"of {at.world} processes these have not come: {', '.join(map(str, absent))}")
        time.sleep(0.05 if absent else 0)
    seen: dict[str, int] = {}
    for rank in range(at.world):
        where = json.loads(store.get(f"rank{rank}"))
        if where[1] and seen.setdefault(str(where), rank) != rank:
            raise RuntimeError(f"processes {seen[str(where)]} and {rank} have the same GPU of {where[0]}")
    return store


def _gpu(device: torch.device) -> str:
    if device.type != "cuda":
        return ""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return str(getattr(torch.cuda.get_device_properties(device), "uuid", f"{visible}:{device.index}"))


@contextlib.contextmanager
def _or_end(seconds: float, message: str) -> Iterator[None]:
    """What takes longer than `seconds` ends the process with the message: the library that hangs takes no exception."""

    def give_up() -> None:
        divert()
        print(f"espret train: error: {message}", file=sys.stderr, flush=True)
        os._exit(1)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
