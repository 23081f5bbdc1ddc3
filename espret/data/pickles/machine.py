"""The machine that runs a pickle from outside (`load`): operations on a stack, and nothing that leads out of it.

The operations are those of the standard library's `pickletools`, protocols 0 to 5, but for those that make instances of
classes or leave a value to the reader: arrays, containers and strings need none of them. What may be called are the
names of `names`.
"""

from __future__ import annotations

import codecs
import mmap
import pickletools
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from espret.data.pickles.names import NAMES, RefusedError, blank_array, build_array, build_dtype, keys, pairs

_STOP = ord(".")
_SIZED = (str, bytes, bytearray, list, tuple, set, dict)


class _Global:
    """What stands on the stack for a name: a function that may be called, or just the name."""

    __slots__ = ("call", "name")

    def __init__(self, name: str, call: Callable[..., Any] | None) -> None:
        self.name = name
        self.call = call


class Machine:
    """The stack machine. `start` is the byte of the operation under way; `stacks` hides what lies below a mark."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self.data = data
        self.start = 0
        self.position = 0
        self.stack: list[Any] = []
        self.stacks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.blank: dict[int, np.ndarray] = {}  # by id, arrays whose content is still to come
        self.budget = 4 * len(data) + 2**20

    def run(self) -> Any:
        while True:
            self.start = self.position
            code = self.take(1)[0]
            if code == _STOP:
                break
            if code not in _OPERATIONS:
                raise RefusedError(f"operation {_operation_name(code)}")
            _OPERATIONS[code](self)
        if self.position != len(self.data):
            raise ValueError(f"{len(self.data) - self.position} bytes follow its end")
        return self.stack.pop()

    def take(self, count: int) -> bytes:
        end = self.position + count
        if not 0 <= count <= len(self.data) - self.position:
            raise EOFError(f"{count} bytes wanted, {len(self.data) - self.position} left")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise EOFError("no end of line")
        return self.take(end + 1 - self.position)[:-1]

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self) -> None:
        self.stacks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.stacks.pop()
        return items

    def last(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise IndexError("too little on the stack")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()

    def spend(self, args: tuple[Any, ...]) -> None:
        """Count what a call copies: a long string, once written, may be handed to a million calls."""
        parts = [part for arg in args if type(arg) is tuple for part in arg]
        self.budget -= sum(len(one) for one in (*args, *parts) if isinstance(one, _SIZED))
        if self.budget < 0:
            raise RefusedError("many times more data than the file has bytes")

    def find(self, module: str, name: str) -> None:
        full = _full_name(module, name)
        if full not in NAMES:
            raise RefusedError(f"'{full}'")
        self.push(_Global(full, NAMES[full]))

    def reduce(self) -> None:
        function, args = self.last(2)
        if not isinstance(function, _Global) or function.call is None or type(args) is not tuple:
            raise RefusedError(f"call of '{getattr(function, 'name', type(function).__name__)}'")
        self.spend(args)
        made = function.call(*args)
        if function.call is blank_array:
            self.blank[id(made)] = made
        self.push(made)

    def build(self) -> None:
        (state,) = self.last(1)
        made = self.stack[-1]
        if isinstance(made, np.dtype):
            build_dtype(made, state)
        elif self.blank.pop(id(made), None) is not None:
            self.spend((state,))
            build_array(made, state, self.blank)
        else:
            raise RefusedError(f"attributes of '{getattr(made, 'name', type(made).__name__)}'")

    def append_all(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise RefusedError(f"append to '{type(target).__name__}'")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise RefusedError(f"items of '{type(target).__name__}'")
        target.update(pairs(items))

    def add_all(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not set:
            raise RefusedError(f"members of '{type(target).__name__}'")
        target.update(keys(items))


def _full_name(module: str, name: str) -> str:
    """The name as Python 3 and NumPy 1 have it."""
    if not re.fullmatch(r"[\w.]{1,200}", module) or not re.fullmatch(r"[\w.<>]{1,200}", name):
        raise ValueError("a name that is none")
    module = re.sub(r"^numpy\._core\.", "numpy.core.", module)
    module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
    return f"{module}.{name}"


def _operation_name(code: int) -> str:
    for operation in pickletools.opcodes:
        if operation.code == chr(code):
            return operation.name
    raise ValueError(f"unknown operation {code:#04x}")


# The operations, by their code.


def _text(line: bytes) -> str:
    """A string of protocol 0, in quotes and with escapes as in Python 2."""
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise ValueError("string without quotes")
    return codecs.escape_decode(line[1:-1])[0].decode("latin-1")


def _whole(line: bytes) -> int | bool:
    return {b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line.rstrip(b"L"))


def _find_by_lines(machine: Machine) -> None:
    machine.find(machine.line().decode(), machine.line().decode())


def _find_by_stack(machine: Machine) -> None:
    module, name = machine.last(2)
    if type(module) is not str or type(name) is not str:
        raise ValueError("a name that is no string")
    machine.find(module, name)


def _instance(machine: Machine) -> None:
    raise RefusedError(f"'{_full_name(machine.line().decode(), machine.line().decode())}'")


def _put(machine: Machine, number: int) -> None:
    machine.memo[number] = machine.stack[-1]


_UNICODE = ("utf-8", "surrogatepass")

_OPERATIONS: dict[int, Callable[[Machine], None]] = {
    code[0]: operation
    for code, operation in {
        b"\x80": lambda m: m.number("B"),  # the protocol
        b"\x95": lambda m: m.number("<Q"),  # the length of a frame, for readers of pipes
        b"(": lambda m: m.mark(),
        b"0": lambda m: m.pop(),
        b"1": lambda m: m.since_mark(),
        b"2": lambda m: m.push(m.stack[-1]),
        b"N": lambda m: m.push(None),
        b"\x88": lambda m: m.push(True),
        b"\x89": lambda m: m.push(False),
        b"I": lambda m: m.push(_whole(m.line())),
        b"L": lambda m: m.push(_whole(m.line())),
        b"F": lambda m: m.push(float(m.line())),
        b"J": lambda m: m.push(m.number("<i")),
        b"K": lambda m: m.push(m.number("B")),
        b"M": lambda m: m.push(m.number("<H")),
        b"G": lambda m: m.push(m.number(">d")),
        b"\x8a": lambda m: m.push(int.from_bytes(m.take(m.number("B")), "little", signed=True)),
        b"\x8b": lambda m: m.push(int.from_bytes(m.take(m.number("<i")), "little", signed=True)),
        b"S": lambda m: m.push(_text(m.line())),
        b"T": lambda m: m.push(m.take(m.number("<i")).decode("latin-1")),
        b"U": lambda m: m.push(m.take(m.number("B")).decode("latin-1")),
        b"V": lambda m: m.push(m.line().decode("raw-unicode-escape")),
        b"X": lambda m: m.push(m.take(m.number("<I")).decode(*_UNICODE)),
        b"\x8c": lambda m: m.push(m.take(m.number("B")).decode(*_UNICODE)),
        b"\x8d": lambda m: m.push(m.take(m.number("<Q")).decode(*_UNICODE)),
        b"B": lambda m: m.push(m.take(m.number("<I"))),
        b"C": lambda m: m.push(m.take(m.number("B"))),
        b"\x8e": lambda m: m.push(m.take(m.number("<Q"))),
        b"\x96": lambda m: m.push(bytearray(m.take(m.number("<Q")))),
        b"t": lambda m: m.push(tuple(m.since_mark())),
        b")": lambda m: m.push(()),
        b"\x85": lambda m: m.push(tuple(m.last(1))),
        b"\x86": lambda m: m.push(tuple(m.last(2))),
        b"\x87": lambda m: m.push(tuple(m.last(3))),
        b"l": lambda m: m.push(m.since_mark()),
        b"]": lambda m: m.push([]),
        b"a": lambda m: m.append_all(m.last(1)),
        b"e": lambda m: m.append_all(m.since_mark()),
        b"d": lambda m: m.push(pairs(m.since_mark())),
        b"}": lambda m: m.push({}),
        b"s": lambda m: m.set_items(m.last(2)),
        b"u": lambda m: m.set_items(m.since_mark()),
        b"\x8f": lambda m: m.push(set()),
        b"\x90": lambda m: m.add_all(m.since_mark()),
        b"\x91": lambda m: m.push(frozenset(keys(m.since_mark()))),
        b"p": lambda m: _put(m, int(m.line())),
        b"q": lambda m: _put(m, m.number("B")),
        b"r": lambda m: _put(m, m.number("<I")),
        b"\x94": lambda m: _put(m, len(m.memo)),
        b"g": lambda m: m.push(m.memo[int(m.line())]),
        b"h": lambda m: m.push(m.memo[m.number("B")]),
        b"j": lambda m: m.push(m.memo[m.number("<I")]),
        b"c": _find_by_lines,
        b"\x93": _find_by_stack,
        b"i": _instance,
        b"R": lambda m: m.reduce(),
        b"b": lambda m: m.build(),
    }.items()
}
