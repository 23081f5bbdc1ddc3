"""Files in which others publish features: one array a key, in HDF5, hickle's HDF5, pickle, npz or npy.

Read key by key, so that of a file of gigabytes one clip is in memory at a time (a pickle has to be read whole). What
the keys stand for and what the arrays must be is the importer's (`importer`). None of these formats is trusted: no
object is unpickled but by espret.data.pickles, no link to another file is followed, no key may ask for more than
LARGEST bytes.
HDF5's library itself is not proof against a file made to harm it: take HDF5 only from those whom you trust.

Hickle keeps a dict in HDF5 in three ways: up to version 3 as data_0/'key'/data_0, in version 4 as data/'key'/data (the
key as Python writes it, `/` as two backslashes), in version 5 as data/"key", or as a pair data/dataN/data0, data1
where the key has a slash; there an array that occurs twice is a reference to its first place. What hickle does not know
(an OrderedDict, for version 3) it pickles as a whole.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from espret.data.pickles.load import load_pickle, parse_pickle
from espret.errors import EspretError

LARGEST = 2**30  # bytes of one key's array: an hour of 2048 numbers 30 times a second
HDF5_SUFFIXES = (".hickle", ".hkl", ".h5", ".hdf5")
PICKLE_SUFFIXES = (".pickle", ".pkl")
EXPECTED = "expected a dict of key -> array [frames, dim] or [dim]"


@dataclass(frozen=True)
class Published:
    """A file of features: its format, its keys, and the function that reads a key's value (an array; None for none)."""

    format: str
    keys: Collection[str]
    read: Callable[[str], Any]


@contextlib.contextmanager
def open_published(path: str | os.PathLike[str], keys: str | os.PathLike[str] | None = None) -> Iterator[Published]:
    """Open a file of features; `keys` is a text file with the keys of an .npy's rows, one a line.

    Raises EspretError for a suffix that is not known and for a file that is not what its suffix says.
    """
    suffix = Path(path).suffix.lower()
    if (suffix == ".npy") != (keys is not None):
        mend = "--keys FILE, one key a line" if suffix == ".npy" else "leave out --keys"
        raise EspretError(f"{path}: the rows of an .npy, and only these, have their keys in a file; mend: {mend}")
    if not os.path.isfile(path):
        raise EspretError(f"{path}: no such file; expected features")
    if suffix in HDF5_SUFFIXES:
        with _open_hdf5(path) as published:
            yield published
    elif suffix in PICKLE_SUFFIXES:
        yield _pickled("pickle", load_pickle(path), path)
    elif suffix == ".npz":
        with _open_npz(path) as published:
            yield published
    elif keys is not None:
        yield _open_npy(path, keys)
    else:
        known = ", ".join((*HDF5_SUFFIXES, *PICKLE_SUFFIXES, ".npz", ".npy"))
        raise EspretError(f"{path}: suffix '{suffix}'; expected one of {known}; mend: rename it as what it is")


def _pickled(form: str, value: object, path: str | os.PathLike[str]) -> Published:
    if not isinstance(value, dict):
        raise EspretError(f"{path}: holds a {type(value).__name__}; {EXPECTED}")
    odd = next((key for key in value if not isinstance(key, str)), None)
    if odd is not None:
        raise EspretError(f"{path}: key {odd!r:.80} is a {type(odd).__name__}; expected strings")
    return Published(form, value.keys(), value.__getitem__)


@contextlib.contextmanager
def _open_npz(path: str | os.PathLike[str]) -> Iterator[Published]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise EspretError(f"{path}: not an .npz (a zip of arrays): {error}; mend: fetch it again") from None
    with archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist()}

        def read(key: str) -> np.ndarray:
            size = archive.getinfo(members[key]).file_size
            _check_size(path, key, size)
            try:
                with archive.open(members[key]) as stream:
                    return np.lib.format.read_array(stream, allow_pickle=False, max_header_size=10_000)
            except (ValueError, OSError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
                raise EspretError(f"{path}: '{key}' cannot be read: {error}; expected an array of numbers") from None

        yield Published("npz", members.keys(), read)


def _open_npy(path: str | os.PathLike[str], keys: str | os.PathLike[str]) -> Published:
    """One array whose rows are the keys' values: mapped, so that rows are read as they are asked for."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise EspretError(f"{path}: not an .npy of numbers: {error}; mend: fetch it again") from None
    rows = {key: row for row, key in enumerate(_lines(keys))}
    if array.ndim not in (2, 3) or len(array) != len(rows):
        raise EspretError(
            f"{path}: array {list(array.shape)} for the {len(rows)} keys of {keys}; "
            f"expected [{len(rows)}, dim] or [{len(rows)}, frames, dim]"
        )
    return Published("npy", rows.keys(), lambda key: array[rows[key]])


def _lines(path: str | os.PathLike[str]) -> list[str]:
    try:
        lines = Path(path).read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise EspretError(f"{path}: cannot be read: {error}; expected one key a line, in UTF-8") from None
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line in seen:
            raise EspretError(f"{path}:{number}: {line!r} is empty or was seen before; expected one key a line")
        seen[line] = number
    return lines


@contextlib.contextmanager
def _open_hdf5(path: str | os.PathLike[str]) -> Iterator[Published]:
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(h5py.File(path, "r"))
            published = _hdf5(path, file)
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, MemoryError) as error:
            raise EspretError(f"{path}: not HDF5, or damaged: {error}; mend: fetch it again") from None
        yield published


def _hdf5(path: str | os.PathLike[str], file: h5py.File) -> Published:
    version = _hickle_version(file)
    form = f"hickle {version}" if version else "hdf5"
    names: list[str] = []  # of all datasets; links, which may lead out of the file, are not visited
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    whole = {"data", "data_0"}.intersection(names)
    if version and whole and file[min(whole)].dtype.kind == "S":
        return _pickled(form, parse_pickle(file[min(whole)][()].tobytes(), str(path)), path)
    places = _places(path, file, names, version)
    return Published(form, places.keys(), lambda key: _value(path, file, key, places[key]))


def _hickle_version(file: h5py.File) -> str:
    """The format's version, "3", "4" or "5"; "" for HDF5 that is not hickle's."""
    if "HICKLE_VERSION" in file.attrs:
        return "5" if "hickle_types_table" in file else "4"
    return "3" if "CLASS" in file.attrs and "data_0" in file else ""


def _places(path: str | os.PathLike[str], file: h5py.File, names: list[str], version: str) -> dict[str, str]:
    """Where in the file the value of each key is."""
    if not version:
        return {name: name for name in names}
    key_of = {"3": _key3, "4": _key4, "5": _key5}[version]
    places: dict[str, str] = {}
    for name in names:
        if name.startswith("hickle_types_table/") or re.fullmatch("data/data[0-9]+/data0", name):
            continue
        try:
            places[key_of(file, name)] = name
        except (ValueError, SyntaxError, KeyError):
            raise EspretError(
                f"{path}: '{name}' is not the array of a key, in the way of hickle {version}; {EXPECTED}; "
                "mend: load it with hickle where you trust it and write the arrays by numpy.savez"
            ) from None
    return places


def _key3(_file: h5py.File, name: str) -> str:
    return _literal(re.fullmatch(r"data_0/(.+)/data_0", name, re.DOTALL))


def _key4(_file: h5py.File, name: str) -> str:
    return _literal(re.fullmatch(r"data/(.+)/data", name.replace("\\\\", "/"), re.DOTALL))


def _key5(file: h5py.File, name: str) -> str:
    pair = re.fullmatch(r"(data/data[0-9]+)/data1", name)
    if pair:
        return b"".join(file[f"{pair[1]}/data0"][()].ravel().tolist()).decode("utf-8")
    match = re.fullmatch(r'data/"([^/]+)"', name, re.DOTALL)
    if not match:
        raise ValueError
    return match[1]


def _literal(match: re.Match[str] | None) -> str:
    """The key that hickle wrote as Python writes a string."""
    value = ast.literal_eval(match[1]) if match and len(match[1]) < 4096 else None
    if not isinstance(value, str):
        raise ValueError
    return value


def _value(path: str | os.PathLike[str], file: h5py.File, key: str, place: str) -> np.ndarray | None:
    try:
        item = file[place]
        if h5py.check_ref_dtype(item.dtype) is h5py.Reference and item.shape == ():
            item = file[item[()]]
        if item.shape is None:
            return None
        if item.dtype.kind not in "fiub":  # strings and objects of any length are what damaged files break HDF5 with
            raise EspretError(f"{path}: '{key}' is of {item.dtype}; {EXPECTED}, of numbers")
        if item.external or item.is_virtual:
            raise EspretError(f"{path}: '{key}' lies in another file; expected the arrays in one")
        _check_size(path, key, item.size * item.dtype.itemsize)
        return np.asarray(item[()])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, MemoryError, RuntimeError) as error:
        raise EspretError(f"{path}: '{key}' cannot be read: {error}; {EXPECTED}; mend: fetch it again") from None


def _check_size(path: str | os.PathLike[str], key: str, size: int) -> None:
    if size > LARGEST:
        raise EspretError(f"{path}: '{key}' says that it has {size} bytes; expected at most {LARGEST}")
