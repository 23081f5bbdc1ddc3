"""What the names in a pickle from outside (espret.data.pickles) stand for: functions that take nothing on trust.

NumPy's arrays, dtypes and scalars, and the standard containers, are made here of what the pickle says of them, after
it was checked: NumPy itself believes a pickle and follows a hostile dtype's offsets out of the array.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

_DTYPE = re.compile(r"[<>=|]?(\?|b1|[iu][1248]|f[248]|c8|c16|O[48]?|[SU][1-9][0-9]{0,8})")
_KEYS = (str, bytes, int, float, complex, type(None), np.number, np.bool_)


class RefusedError(Exception):
    """The pickle asks for something that is not allowed."""


def keys(items: Iterable[Any]) -> list[Any]:
    """`items`, to be keys of a dict or members of a set: flat, for the hash of a deep tuple overflows C's stack."""
    kept = list(items)
    for key in kept:
        if not isinstance(key, _KEYS) and not (type(key) is tuple and all(isinstance(part, _KEYS) for part in key)):
            raise RefusedError(f"'{type(key).__name__}' as a key")
    return kept


def pairs(items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise ValueError("a key without a value")
    return dict(zip(keys(items[::2]), items[1::2]))


def _latin1(raw: object) -> bytes:
    """Bytes; Python 2 had them as strings."""
    if not isinstance(raw, (bytes, bytearray, str)):
        raise ValueError(f"{type(raw).__name__} where bytes were expected")
    return raw.encode("latin-1") if isinstance(raw, str) else bytes(raw)


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise RefusedError(f"encoding {encoding!r}")
    return text.encode("latin-1")


def _bytes(raw: object = b"") -> bytes:
    return _latin1(raw)


def _bytearray(raw: object = b"", encoding: str = "latin-1") -> bytearray:
    return bytearray(_encode(raw, encoding) if isinstance(raw, str) else _latin1(raw))


def _members(items: object = ()) -> list[Any]:
    if not isinstance(items, (list, tuple, set)):
        raise ValueError(f"{type(items).__name__} as members of a set")
    return keys(items)


def _set(items: object = ()) -> set[Any]:
    return set(_members(items))


def _frozenset(items: object = ()) -> frozenset[Any]:
    return frozenset(_members(items))


def _ordered_dict(items: object = ()) -> dict[Any, Any]:
    if type(items) not in (list, tuple):
        raise ValueError("pairs expected")
    return pairs([part for key, value in items for part in (key, value)])  # type: ignore[attr-defined]


def _default_dict(*_factory: object) -> dict[Any, Any]:
    return {}


def _complex(real: object, imaginary: object) -> complex:
    if not isinstance(real, float) or not isinstance(imaginary, float):
        raise ValueError("two floats expected")
    return complex(real, imaginary)


def _dtype(name: object, *_flags: object) -> np.dtype:
    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
        raise RefusedError(f"dtype {str(name)[:60]!r}")
    return np.dtype(re.sub("O.*", "O", name), False, True)  # a copy, which may then be built


def build_dtype(dtype: Any, state: object) -> None:
    """Set the byte order; size and alignment are the dtype's own, and it has no fields."""
    if type(state) is not tuple or state[0] not in (3, 4) or state[2:5] != (None, None, None):
        raise RefusedError("dtype with fields")
    if state[1] not in ("<", ">", "=", "|"):
        raise ValueError("byte order")
    if state[1] in "<>":
        dtype.__setstate__(dtype.newbyteorder(state[1]).__reduce__()[2])


def _plain(dtype: object) -> np.dtype:
    """A dtype as it is now: that of the pickle may still be built anew."""
    if not isinstance(dtype, np.dtype):
        raise ValueError(f"{type(dtype).__name__} as a dtype")
    return np.dtype(dtype.str)


def _shape(shape: object) -> tuple[int, ...]:
    if type(shape) is not tuple or len(shape) > 32 or not all(type(n) is int and 0 <= n < 2**62 for n in shape):
        raise ValueError("shape of an array")
    return shape


def _content(raw: object, dtype: np.dtype, count: int) -> bytes:
    content = _latin1(raw)
    if len(content) != count * dtype.itemsize:
        raise ValueError(f"{len(content)} bytes for {count} of {dtype}")
    if dtype.kind == "U" and (np.frombuffer(content, f"{dtype.byteorder}u4") > 0x10FFFF).any():
        raise ValueError("characters beyond Unicode")  # Python's strings rely on there being none
    return content


def blank_array(kind: object, *_shape_and_type: object) -> np.ndarray:
    if getattr(kind, "name", None) != "numpy.ndarray":
        raise RefusedError("an array of another class than numpy.ndarray")
    return np.empty(0, np.int8)


def build_array(array: np.ndarray, state: Any, blank: dict[int, np.ndarray]) -> None:
    version, shape, dtype, fortran, raw = state
    if version != 1:
        raise ValueError("state of an array")
    dtype = _plain(dtype)
    count = math.prod(_shape(shape))
    if dtype.hasobject:
        if type(raw) is not list or len(raw) != count:
            raise ValueError(f"{count} objects expected")
        # Arrays in arrays to any depth would overflow C's stack when they are freed.
        if any(isinstance(one, np.ndarray) and (one.dtype.hasobject or id(one) in blank) for one in raw):
            raise RefusedError("array of objects in an array of objects")
    else:
        raw = _content(raw, dtype, count)
    array.__setstate__((1, shape, dtype, bool(fortran), raw))  # type: ignore[arg-type]


def _dill_array(_function: object, args: Any, state: Any, attributes: object = None) -> np.ndarray:
    """An array as the package dill pickles it, in one call."""
    if attributes or _plain(state[2]).hasobject:
        raise RefusedError("array of objects, or with attributes")
    array = blank_array(*args)
    build_array(array, state, {})
    return array


def _scalar(dtype: object, raw: object) -> Any:
    kind = _plain(dtype)
    if kind.hasobject:
        raise RefusedError("scalar that is no number and no string")
    return np.frombuffer(_content(raw, kind, 1), kind)[0]


def _from_buffer(raw: object, dtype: object, shape: object, order: str, axes: Any = None) -> np.ndarray:
    kind = _plain(dtype)
    if kind.hasobject:
        raise RefusedError("buffer of objects")
    sizes = _shape(shape)
    array = np.frombuffer(_content(raw, kind, math.prod(sizes)), kind)
    if order == "K" and axes is not None:
        return array.reshape(sizes, order="C").transpose(_shape(axes))
    return array.reshape(sizes, order="F" if order == "F" else "C")


NAMES: dict[str, Callable[..., Any] | None] = {
    "_codecs.encode": _encode,
    "builtins.bytes": _bytes,
    "builtins.bytearray": _bytearray,
    "builtins.complex": _complex,
    "builtins.set": _set,
    "builtins.frozenset": _frozenset,
    "builtins.list": None,  # these as the argument of defaultdict
    "builtins.dict": None,
    "builtins.int": None,
    "builtins.float": None,
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": _default_dict,
    "dill._dill._create_array": _dill_array,
    "numpy.ndarray": None,
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": blank_array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _from_buffer,
}
