"""Weights into networks, strictly: all tensors of a checkpoint, none too many, each of its shape.

Reading the files lives in `espret.audio.tensor_files`, what is published and where in `espret.audio.published`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

import torch
from torch import Tensor, nn

from espret.audio import FRONTENDS
from espret.audio.published import published, recognised
from espret.audio.tensor_files import read_tensors
from espret.config import build
from espret.errors import EspretError
from espret.files import sha256_file

NAMED = 5  # tensors that an error names of each kind
Network = TypeVar("Network", bound=nn.Module)
COUNTER = "num_batches_tracked"  # of batch norms, and used by none of ours; older files and conversions lack it


def checkpoint_path(name: str, option: str) -> Path | None:
    """The file that a network's option `checkpoint` means; None for "random", weights drawn from seed 0.

    "official" is what `espret fetch-checkpoint NAME` has brought, anything else a path. Raises EspretError where there
    is no such file.
    """
    if option == "random":
        return None
    path = published(name).path if option == "official" else Path(option).expanduser()
    if not path.is_file():
        mend = (
            f"espret fetch-checkpoint {name} (--from FILE where there is no connection)"
            if option == "official"
            else f"name the file, or 'official' after espret fetch-checkpoint {name}"
        )
        raise EspretError(
            f"{name}: no checkpoint {path}; expected its weights; mend: {mend}; "
            "or let 'checkpoint: random' try the network without them"
        )
    return path


def load_network(name: str, option: str, make: Callable[[], Network]) -> tuple[Network, dict[str, Any]]:
    """What `make` makes with the weights that the option `checkpoint` means, and where they came from.

    Random weights are drawn from seed 0, which the caller's random numbers do not notice, and are called "random".
    """
    path = checkpoint_path(name, option)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = make()
    return network, {"checkpoint": "random"} if path is None else load_checkpoint(network, path)


@overload
def load_checkpoint(network: str, path: str | os.PathLike[str]) -> nn.Module: ...


@overload
def load_checkpoint(network: nn.Module, path: str | os.PathLike[str]) -> dict[str, Any]: ...


def load_checkpoint(network: nn.Module | str, path: str | os.PathLike[str]) -> nn.Module | dict[str, Any]:
    """Fill a network with the tensors of a file; returns where they came from: `checkpoint`, `sha256`, `tensors`.

    The names must be those of the network's state dict; a prefix that all have (`module.`) may be there or not. A
    network that is published with other names has a method `from_keras`, which makes its state dict of the tensors
    read; one of whose vectors some files have as a column or a row names them in `vectors`. Other precisions are
    converted. Nothing changes where anything is wrong: EspretError names up to five tensors that are missing, not
    known, or of another shape, and whose file it is if that is known.

    The name of a published network instead of a module gives the extractor `espret.audio.FRONTENDS` knows by it, with
    these weights, in evaluation mode.
    """
    if isinstance(network, str):
        options = {"type": network, "checkpoint": os.path.abspath(path)}
        extractor: nn.Module = build(FRONTENDS, options, sample_rate=published(network).sample_rate)
        return extractor.eval()
    tensors = read_tensors(path)
    wanted = network.state_dict()
    named = _aligned(tensors, wanted)
    named |= {key: _vector(named[key]) for key in getattr(network, "vectors", ()) if key in named}
    if hasattr(network, "from_keras") and wanted.keys().isdisjoint(named):
        named = _from_keras(network, tensors, path)
    _compare(network, named, wanted, path)
    network.load_state_dict(named, strict=False)  # compared above; what may be missing keeps its value
    return {"checkpoint": Path(path).name, "sha256": sha256_file(path), "tensors": len(tensors)}


def _from_keras(network: nn.Module, tensors: dict[str, Tensor], path: str | os.PathLike[str]) -> dict[str, Tensor]:
    try:
        return network.from_keras(tensors)  # type: ignore[operator]
    except EspretError as error:
        raise EspretError(f"{path}: {error}{_whose(path)}") from None
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise EspretError(
            f"{path}: its {len(tensors)} tensors ({_some(tensors)}) are not those of {type(network).__name__}: "
            f"{error!r}{_whose(path)}"
        ) from None


def _aligned(tensors: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors named as the network names them: without prefixes that all have, or with one that all should have."""
    cut = _renamings(tensors, _prefix(wanted))
    names = next((names for names in cut if not wanted.keys().isdisjoint(names)), list(tensors))
    return dict(zip(names, tensors.values()))


def _renamings(keys: Iterable[str], own: str) -> Iterator[list[str]]:
    """The names as they are, without one common prefix, without two, ...; each also with the network's own prefix."""
    names = list(keys)
    while True:
        yield names
        if own:
            yield [own + name for name in names]
        if not (prefix := _prefix(names)):
            return
        names = [name.removeprefix(prefix) for name in names]


def _vector(tensor: Tensor) -> Tensor:
    """A vector that is stored as one column or one row, as itself."""
    return tensor.reshape(-1) if tensor.ndim == 2 and 1 in tensor.shape else tensor


def _prefix(keys: Iterable[str]) -> str:
    """`module.`, where all keys start with it; else empty."""
    firsts = {key.partition(".")[0] if "." in key else "" for key in keys}
    first = firsts.pop() if len(firsts) == 1 else ""
    return f"{first}." if first else ""


def _compare(
    network: nn.Module, tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: str | os.PathLike[str]
) -> None:
    missing = [key for key in wanted if key not in tensors and not key.endswith(COUNTER)]
    unknown = [key for key in tensors if key not in wanted]
    wrong = [
        f"{key} {_described(tensors[key])} instead of {_described(tensor)}"
        for key, tensor in wanted.items()
        if key in tensors and not _fits(tensors[key], tensor)
    ]
    problems = [
        f"{len(keys)} {what} ({_some(keys)})"
        for what, keys in (("missing", missing), ("not known", unknown), ("of another shape or type", wrong))
        if keys
    ]
    if problems:
        raise EspretError(
            f"{path}: not the weights of {type(network).__name__}: of its {len(wanted)} tensors "
            f"{'; '.join(problems)}{_whose(path) or _kinship(len(missing), len(wanted))}; "
            "mend: give this network's own file"
        )
    broken = [key for key, tensor in tensors.items() if tensor.is_floating_point() and not _finite(tensor)]
    if broken:
        raise EspretError(
            f"{path}: {len(broken)} tensors hold NaN or Inf ({_some(broken)}); expected numbers; mend: fetch it again"
        )


def _fits(found: Tensor, wanted: Tensor) -> bool:
    """Whether a tensor can be copied into another: its shape, and its kind of numbers, of any precision."""
    same_kind = found.is_floating_point() == wanted.is_floating_point() and found.is_complex() == wanted.is_complex()
    return found.shape == wanted.shape and same_kind and _plain(found)


def _plain(tensor: Tensor) -> bool:
    """Whether all of a tensor's numbers are there as they are; a file may have it sparse, or without them (meta)."""
    return tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_meta


def _described(tensor: Tensor) -> str:
    kind = "" if _plain(tensor) else " (sparse, quantised or without numbers)"
    return f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}{kind}"


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor.float()).all())


def _some(keys: Iterable[str]) -> str:
    keys = list(keys)
    return ", ".join(key[:100] for key in keys[:NAMED]) + (", ..." if len(keys) > NAMED else "")


def _whose(path: str | os.PathLike[str]) -> str:
    name = recognised(Path(path))
    return f"; it is the file of {name}" if name else ""


def _kinship(missing: int, all_of_them: int) -> str:
    """What a file that is not in the table may be."""
    if missing > all_of_them / 2:
        return "; it is probably the file of another network"
    return "; it is probably of a variant of this network, or has been changed"
