"""Reading pickles from outside without running what they ask for: arrays, numbers, strings, containers, nothing else.

A pickle is a program for a small stack machine that may call any function by its name. Here it runs on a machine of our
own (`machine`) that knows no functions but the few by which NumPy's arrays and the standard containers are
pickled (`names`), with checked arguments; every other name is refused before it is looked up. The standard
library's machine with its names restricted would not do: NumPy follows a hostile dtype's offsets out of the array,
attributes of what is allowed can be overwritten, and a few bytes can ask for gigabytes.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

from espret.data.pickles.machine import Machine
from espret.data.pickles.names import RefusedError
from espret.errors import EspretError

ALLOWED = "numbers, strings, bytes, lists, tuples, dicts, sets and NumPy arrays of numbers, strings or these"


def load_pickle(path: str | os.PathLike[str]) -> Any:
    """The object in a pickle. Strings of Python 2 are taken as Latin-1; OrderedDict and defaultdict become dict.

    Memory stays proportional to the file's size. Raises EspretError naming file and byte for a name that is
    not allowed (and which are), and for a damaged file.
    """
    try:
        with open(path, "rb") as stream:
            if os.fstat(stream.fileno()).st_size == 0:
                raise EspretError(f"{path}: empty file; expected a pickle; mend: fetch it again")
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return parse_pickle(data, str(path))
    except FileNotFoundError:
        raise EspretError(f"{path}: no such file; expected a pickle") from None
    except OSError as error:
        raise EspretError(f"{path}: cannot be read: {error.strerror}; expected a pickle") from None


def parse_pickle(data: bytes | mmap.mmap, where: str) -> Any:
    """The object in the bytes of a pickle; `where` is what errors call it. Otherwise as load_pickle."""
    machine = Machine(data)
    try:
        return machine.run()
    except RefusedError as error:
        raise EspretError(
            f"{where}: byte {machine.start}: {error}; expected nothing but {ALLOWED}, for a pickle from outside could "
            "run any command; mend: write its data as .npz or HDF5 where you trust the file"
        ) from None
    except Exception as error:  # hostile bytes raise whatever they like: of int, struct, codecs, NumPy, the memory
        raise EspretError(
            f"{where}: byte {machine.start}: damaged, or not a pickle: {type(error).__name__}: {error}; "
            "mend: fetch the file again"
        ) from None
