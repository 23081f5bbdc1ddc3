"""Named tensors in files of weights: PyTorch's, Keras's HDF5, npz and safetensors, told apart by what they hold.

None of these files is trusted. Pickles are read by PyTorch's restricted unpickler; where they hold arrays of NumPy,
classes of this module stand in for NumPy's, which follow hostile descriptions out of the array. Which tensors a network
needs, and what to do where they are not there, is `espret.audio.checkpoint`'s.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from espret.errors import EspretError

EXPECTED = "expected weights: a file of PyTorch (.pth, .pt), Keras (.h5), NumPy (.npz) or safetensors"
WRAPPERS = ("model", "model_state_dict", "state_dict")  # where training programs keep the tensors beside other things
LARGEST = 2**32  # bytes of one tensor
TENSORFLOW = bytes.fromhex("57fb808b247547db")  # the end of a table, as TensorFlow 1 writes its checkpoints
NUMPY = re.compile("[fiu][1248]|b1")  # types of numbers


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a file by name, in its order, on the CPU, of the types that they are stored in.

    Of a PyTorch file the dict of tensors, or that under one of WRAPPERS in it; of Keras's HDF5 the weights in the order
    of the layers, named by their paths (`conv/conv/kernel:0`). Raises EspretError for a file that is none of these, is
    damaged, or asks for more than tensors.
    """
    path = Path(path)
    try:
        with open(path, "rb") as stream:
            start = stream.read(4096)
    except OSError as error:
        raise EspretError(f"{path}: {error.strerror}; {EXPECTED}") from None
    read = _reader(path, start)
    try:
        return read(path)
    except EspretError:
        raise
    except Exception as error:  # damaged and hostile files raise whatever they like: of zip, pickle, HDF5, the memory
        raise EspretError(f"{path}: {_problem(error)}; {EXPECTED}, whole; mend: fetch the file again") from None


def _reader(path: Path, start: bytes) -> Callable[[Path], dict[str, Tensor]]:
    """What reads a file that starts with these bytes."""
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return _read_hdf5
    if start.startswith(b"PK\x03\x04"):
        first = start[30 : 30 + int.from_bytes(start[26:28], "little")]  # the name of the archive's first file
        return _read_npz if first.endswith(b".npy") else _read_torch
    if start[8:9] == b"{":
        return _read_safetensors
    if start.startswith(b"\x80"):
        return _read_torch
    raise EspretError(f"{path}: {_other(path, start)}; {EXPECTED}")


def _other(path: Path, start: bytes) -> str:
    """What a file is that holds no tensors, in so far as its bytes tell."""
    with open(path, "rb") as stream:
        stream.seek(max(0, path.stat().st_size - len(TENSORFLOW)))
        end = stream.read()
    page = start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
    told = {
        "empty": not start,
        "a web page, as a browser saves one in place of a file that cannot be had": page,
        "a pointer of Git LFS; fetch the file itself (git lfs pull)": start.startswith(b"version https://git-lfs"),
        "compressed; unpack it first (gunzip)": start.startswith(b"\x1f\x8b"),
        "a checkpoint of TensorFlow 1": end == TENSORFLOW,
    }
    return next((what for what, found in told.items() if found), "no file of weights")


def _problem(error: Exception) -> str:
    if refused := re.search(r"GLOBAL (\S+)", str(error)):
        return (
            f"asks for '{refused[1]}', which is no tensor and could run any command (save the tensors alone, "
            "`torch.save(network.state_dict(), ...)`, where you trust the file)"
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"damaged, cut off, or no weights: {type(error).__name__}: {lines[0] if lines else ''}"[:300]


class _Kind:
    """Stands in for numpy.dtype: a type of numbers."""

    def __init__(self, code: str, *_: Any) -> None:
        if not NUMPY.fullmatch(code):
            raise ValueError(f"arrays of '{code:.20}'; expected numbers")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(">" if state[1] == ">" else "<")


class _Array:
    """Stands in for numpy.ndarray."""

    array = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, data = state
        self.array = np.frombuffer(data, kind.dtype).reshape(shape, order="F" if fortran else "C")


def _empty(*_: Any) -> _Array:
    """Stands in for what makes the array that is then filled."""
    return _Array()


def _scalar(kind: _Kind, data: bytes) -> float:
    return np.frombuffer(data, kind.dtype)[0].item()


STAND_INS = [(_Kind, "numpy.dtype"), (_Array, "numpy.ndarray")]
for _core in ("numpy.core", "numpy._core"):  # before and since NumPy 2
    STAND_INS += [(_empty, f"{_core}.multiarray._reconstruct"), (_scalar, f"{_core}.multiarray.scalar")]  # type: ignore[list-item]


def _read_torch(path: Path) -> dict[str, Tensor]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:  # PyTorch compresses nothing
            if sum(member.file_size for member in archive.infolist()) > path.stat().st_size:
                raise ValueError("a zip archive that unpacks to more than its size")
    with torch.serialization.safe_globals(STAND_INS):  # type: ignore[arg-type]
        found = torch.load(path, map_location="cpu", weights_only=True)
    while isinstance(found, dict) and (
        key := next((key for key in WRAPPERS if isinstance(found.get(key), dict)), None)
    ):
        found = found[key]
    items = found.items() if isinstance(found, dict) else ()
    tensors = {str(key): value for key, value in items if isinstance(value, (Tensor, _Array))}
    if not tensors:
        what = f"a dict of {_listed(found)}" if isinstance(found, dict) else f"a {type(found).__name__}"
        raise EspretError(f"{path}: {what}; expected a dict of tensors by name, or one under {_listed(WRAPPERS)}")
    return {key: value if isinstance(value, Tensor) else _tensor(value.array) for key, value in tensors.items()}


def _listed(names: Iterable[Any]) -> str:
    first = [repr(name)[:60] for name, _ in zip(names, range(10))]
    return ", ".join(first) if first else "nothing"


def _tensor(array: np.ndarray) -> Tensor:
    """A tensor of its own memory, in this machine's byte order."""
    if not NUMPY.fullmatch(array.dtype.str[1:]):
        raise ValueError(f"arrays of {array.dtype}; expected numbers")
    return torch.from_numpy(np.array(array, array.dtype.newbyteorder("=")))


def _read_npz(path: Path) -> dict[str, Tensor]:
    with np.load(path, allow_pickle=False) as archive:
        for member in archive.zip.infolist():
            _check_size(member.filename, member.file_size)
        return {key: _tensor(archive[key]) for key in archive.files}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def _read_hdf5(path: Path) -> dict[str, Tensor]:
    import h5py

    with h5py.File(path, "r") as file:
        root = file.get("model_weights", file)  # a whole model, or its weights
        names: list[str] = []
        for layer in _attribute(root, "layer_names"):
            names += [f"{layer}/{weight}" for weight in _attribute(root[layer], "weight_names")]
        if not names:  # not as Keras 2 has it; links, which may lead out of the file, are not visited
            root.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        if not names:
            raise EspretError(f"{path}: no arrays in it; {EXPECTED}")
        return {name: _dataset(root[name], name) for name in names}


def _attribute(group: Any, name: str) -> list[str]:
    """A list of names, which Keras spreads over `name0`, `name1`, ... where it is long."""
    keys = [name] if name in group.attrs else [key for key in group.attrs if re.fullmatch(f"{name}[0-9]+", key)]
    parts = [group.attrs[key] for key in sorted(keys, key=lambda key: (len(key), key))]
    return [item.decode() if isinstance(item, bytes) else str(item) for part in parts for item in part]


def _dataset(item: Any, name: str) -> Tensor:
    if item.dtype.kind not in "fiub" or item.shape is None:
        raise ValueError(f"'{name}' is of {item.dtype}; expected numbers")
    if item.external or item.is_virtual:
        raise ValueError(f"'{name}' lies in another file")
    _check_size(name, item.size * item.dtype.itemsize)
    return _tensor(item[()])


def _check_size(name: str, size: int) -> None:
    if size > LARGEST:
        raise ValueError(f"'{name}' says that it has {size} bytes; expected at most {LARGEST}")
