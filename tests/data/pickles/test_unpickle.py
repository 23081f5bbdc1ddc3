from __future__ import annotations

import collections
import os
import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from espret.data.pickles.load import load_pickle, parse_pickle
from espret.errors import EspretError

RNG = np.random.default_rng(0)
VALUES: list[Any] = [
    {"a b": RNG.normal(size=(3, 4)).astype(np.float32), "c": np.float64(3.5), "d": float("inf"), "words": [["a", "b"]]},
    [1, -2, 300, 70000, 2**70, -(2**3000), 1.5, None, True, False, "é\udc80\n'\"\\", b"\xff\x00", b"", "x" * 300],
    [bytearray(b"ab"), bytearray(), (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {1, "b"}, frozenset([3]), 1 + 2j],
    collections.OrderedDict(a=[1], b=2),
    collections.defaultdict(list, {"a": [1]}),
    np.asfortranarray(RNG.normal(size=(3, 4))),
    RNG.normal(size=(3, 4, 2)).transpose(1, 0, 2),
    np.arange(5, dtype=">i2"),
    [np.array(3.0), np.zeros((0, 5)), np.array([True]), np.float32(2), np.array([b"ab", b"c"]), np.array(["xy", "é"])],
    np.array([[1, "x"], [None, np.ones(2)]], dtype=object),
    {("a", 1): 2, 3: 4, b"k": 5},
    b"z" * 70000,
]

PYTHON2 = [  # cPickle of Python 2.7 with NumPy 1.16, protocols 0 to 2
    b"(dp1\nS'od'\np2\nccollections\nOrderedDict\np3\n((lp4\n(lp5\nS'x'\naI1\naatRp6\nsS'v_a'\np7\n"
    b"cnumpy.core.multiarray\n_reconstruct\np8\n(cnumpy\nndarray\np9\n(I0\ntS'b'\ntRp10\n(I1\n(I2\ntcnumpy\ndtype\np11\n"
    b"(S'f4'\nI0\nI1\ntRp12\n(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x00\\x00\\xc0?\\x00\\x00\\x00\\xc0'\ntbsS'w'\n"
    b"(lp13\nVcaf\xe9\np14\naS'caf\\xe9'\np15\naL3L\naI01\nas.",
    b"}q\x01(U\x02odq\x02ccollections\nOrderedDict\nq\x03(]q\x04]q\x05(U\x01xK\x01eatRq\x06U\x03v_aq\x07"
    b"cnumpy.core.multiarray\n_reconstruct\nq\x08(cnumpy\nndarray\nq\t(K\x00tU\x01btRq\n(K\x01(K\x02tcnumpy\ndtype\n"
    b"q\x0b(U\x02f4K\x00K\x01tRq\x0c(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbI00\nU\x08\x00\x00\xc0?"
    b"\x00\x00\x00\xc0tbU\x01w]q\r(X\x05\x00\x00\x00caf\xc3\xa9q\x0eU\x04caf\xe9q\x0fL3L\nI01\neu.",
    b"\x80\x02}q\x01(U\x02odq\x02ccollections\nOrderedDict\nq\x03]q\x04]q\x05(U\x01xK\x01ea\x85Rq\x06U\x03v_aq\x07"
    b"cnumpy.core.multiarray\n_reconstruct\nq\x08cnumpy\nndarray\nq\tK\x00\x85U\x01b\x87Rq\n(K\x01K\x02\x85cnumpy\n"
    b"dtype\nq\x0bU\x02f4K\x00K\x01\x87Rq\x0c(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08\x00\x00"
    b"\xc0?\x00\x00\x00\xc0tbU\x01w]q\r(X\x05\x00\x00\x00caf\xc3\xa9q\x0eU\x04caf\xe9q\x0f\x8a\x01\x03\x88eu.",
]


@pytest.fixture
def load(tmp_path: Path) -> Callable[[bytes], Any]:
    def load(content: bytes) -> Any:
        path = tmp_path / "it's a; pickle.pkl"
        path.write_bytes(content)
        return load_pickle(path)

    return load


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        alike = isinstance(other, np.ndarray) and one.dtype == other.dtype and one.shape == other.shape
        return alike and all(map(same, one.ravel().tolist(), other.ravel().tolist()))
    if isinstance(one, dict):
        return isinstance(other, dict) and list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dumps", [pickle.dumps, pickle._dumps])  # type: ignore[attr-defined]
def test_reads_what_pickle_reads(
    load: Callable[[bytes], Any], protocol: int, dumps: Callable[[object, int], bytes]
) -> None:
    for value in VALUES:
        content = dumps(value, protocol)
        assert same(pickle.loads(content), load(content)), (protocol, value)


def test_containers_of_collections_become_dicts(load: Callable[[bytes], Any]) -> None:
    for value in (collections.OrderedDict(a=1), collections.defaultdict(list, a=1)):
        assert type(load(pickle.dumps(value))) is dict


def test_one_object_twice_stays_one(load: Callable[[bytes], Any]) -> None:
    array = np.ones(3)
    value: list[Any] = [array, array]
    value.append(value)
    read = load(pickle.dumps(value))
    assert read[0] is read[1] and read[2] is read


@pytest.mark.parametrize("content", PYTHON2)
def test_python_2(load: Callable[[bytes], Any], content: bytes) -> None:
    read = load(content)
    np.testing.assert_array_equal(read["v_a"], np.array([1.5, -2], np.float32))
    assert read["w"] == ["café", "café", 3, True] and read["od"] == {"x": 1}


class Calls:
    """Unpickled, it would call `function(*args)`."""

    def __init__(self, function: Callable[..., Any], *args: object) -> None:
        self.made = (function, args)

    def __reduce__(self) -> Any:
        return self.made


class Plain:
    pass


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_run(
    load: Callable[[bytes], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    for function, args, named in [
        (os.system, ("touch ran",), "posix.system"),
        (open, ("ran", "w"), "io.open|_io.open|builtins.open"),
        (eval, ("open('ran', 'w')",), "builtins.eval"),
        (getattr, ("a", "upper"), "builtins.getattr"),
        (np.load, ("ran", None, True), "numpy.load"),
        (np.memmap, ("ran", "u1", "w+", 0, 8), "numpy.memmap"),
    ]:
        with pytest.raises(
            EspretError, match=rf"it's a; pickle.pkl: byte \d+: '({named})'; expected nothing but numbers"
        ):
            load(pickle.dumps({"a": np.ones(2), "b": Calls(function, *args)}, protocol))
    with pytest.raises(EspretError, match=r"'(test_unpickle.Plain|copyreg._reconstructor)'"):
        load(pickle.dumps(Plain(), protocol))
    assert not (tmp_path / "ran").exists()


# Written by hand, operation by operation.
G = b"cnumpy.core.multiarray\n_reconstruct\n"
BLANK = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"
O8 = b"cnumpy\ndtype\n(U\x02O8K\x00K\x01tR"
U1 = b"cnumpy\ndtype\n(U\x02U1K\x00K\x01tR"
F4 = b"cnumpy\ndtype\n(U\x02f4K\x00K\x01tR"
FRAMES = b"(U\x01a" + F4 + b"K\x00\x86d"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"(S'touch ran'\nios\nsystem\n.", "'os.system'"),
        (b"\x8c\x02os\x8c\x06system\x93.", "'os.system'"),
        (b"cnumpy\nndarray.tofile\n.", "'numpy.ndarray.tofile'"),
        (b"c__builtin__\neval\n.", "'builtins.eval'"),
        (b"cbuiltins\nlist\n)R.", "call of 'builtins.list'"),
        (b"cbuiltins\nlist\n)\x81.", "operation NEWOBJ"),
        (b"(cbuiltins\nlist\no.", "operation OBJ"),
        (b"\x82\x01.", "operation EXT1"),
        (b"U\x01aQ.", "operation BINPERSID"),
        (b"\x97.", "operation NEXT_BUFFER"),
        (b"U\x01a)R.", "call of 'str'"),
        (G + b"}U\x08__code__Nsb.", "attributes of 'numpy.core.multiarray._reconstruct'"),
        (b"}}U\x05itemsK\x01sb.", "attributes of 'dict'"),
        (BLANK + b"K\x00K\x00s.", "items of 'ndarray'"),
        (G + b"K\x01a.", "append to '_Global'"),
        (b"cnumpy\ndtype\n(U\x02V8K\x00K\x01tR.", "dtype 'V8'"),
        (b"cnumpy\ndtype\n(U\x0bi4,(1000)f4K\x00K\x01tR.", "dtype 'i4"),
        (F4 + b"(K\x03U\x01<NU\x01a\x85" + FRAMES + b"K\x08K\x04K\x00tb.", "dtype with fields"),
        (F4 + b"(K\x03U\x01<" + F4 + b"K\x02\x85\x86NNK\x08K\x04K\x00tb.", "dtype with fields"),
        (BLANK + b"(K\x01K\x05\x85" + F4 + b"\x89C\x04abcdtb.", "4 bytes for 5 of float32"),
        (BLANK + b"(K\x01J\xff\xff\xff\xff\x85" + F4 + b"\x89C\x00tb.", "shape of an array"),
        (BLANK + b"(K\x01K\x01\x85" + O8 + b"\x89C\x08abcdefghtb.", "1 objects expected"),
        (BLANK + b"(K\x01K\x01\x85" + U1 + b"\x89C\x04\xff\xff\xff\xfftb.", "characters beyond Unicode"),
        (BLANK + b"(K\x01K\x01\x85" + O8 + b"\x89]" + BLANK + b"atb.", "array of objects in an array of objects"),
        (
            BLANK + b"q\x00(K\x01K\x00\x85" + F4 + b"\x89C\x00tbh\x00(K\x01K\x00\x85" + F4 + b"\x89C\x00tbb.",
            "attributes",
        ),
        (G + b"(cbuiltins\nlist\nK\x00\x85C\x01btR.", "another class than numpy.ndarray"),
        (b"cnumpy.core.multiarray\nscalar\n" + O8 + b"C\x08abcdefgh\x86R.", "scalar that is no number"),
        (b"cnumpy.core.numeric\n_frombuffer\n(C\x08abcdefgh" + O8 + b"K\x01\x85U\x01CtR.", "buffer of objects"),
        (b"c_codecs\nencode\nU\x01aU\x03hex\x86R.", "encoding 'hex'"),
        (b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.", "int where bytes were expected"),
        (b"}(]K\x01u.", "'list' as a key"),
        (b"}" + b")" + b"\x85" * 100_000 + b"K\x01s.", "'tuple' as a key"),
        (b"\x8e" + struct.pack("<Q", 2**62) + b"a.", "bytes wanted"),
        (b"\x96" + struct.pack("<Q", 2**40) + b"a.", "bytes wanted"),
        (b"T" + struct.pack("<i", -1) + b".", "bytes wanted"),
        (b"h\x05.", "KeyError"),
        (b".", "damaged"),
        (b"t.", "damaged"),
        (b"\x86.", "too little on the stack"),
        (b"}K\x01a.", "append to 'dict'"),
        (b"}(K\x01u.", "a key without a value"),
        (b"\xfe.", "unknown operation 0xfe"),
        (b"K\x01.K\x02.", "3 bytes follow its end"),
        (b"id,caption\n1,a dog\n", "damaged, or not a pickle: ValueError: a name"),
    ],
)
def test_what_is_refused(load: Callable[[bytes], Any], content: bytes, message: str) -> None:
    with pytest.raises(EspretError, match=message) as caught:
        load(content)
    assert "it's a; pickle.pkl: byte " in str(caught.value)


def test_a_far_memo_takes_no_memory(load: Callable[[bytes], Any]) -> None:
    assert load(b"K\x07r\xff\xff\xff\xff0j\xff\xff\xff\xff.") == 7


def test_a_small_file_cannot_ask_for_gigabytes(load: Callable[[bytes], Any]) -> None:
    text = b"X" + struct.pack("<I", 1_000_000) + b"a" * 1_000_000 + b"q\x000"
    bytes_ = b"B" + struct.pack("<I", 1_000_000) + b"a" * 1_000_000 + b"q\x000"
    swapped = b"cnumpy\ndtype\n(U\x02i2K\x00K\x01tR(K\x03U\x01>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbq\x010"
    array = BLANK + b"(K\x01J" + struct.pack("<i", 500_000) + b"\x85h\x01\x89h\x00tb"
    for once, again in [
        (text, b"c_codecs\nencode\nh\x00U\x06latin1\x86R"),
        (bytes_, b"cbuiltins\nbytearray\nh\x00\x85R"),
        (bytes_ + swapped, array),
    ]:
        assert load(once + b"(" + 3 * again + b"l.")
        with pytest.raises(EspretError, match="many times more data than the file has bytes"):
            load(once + b"(" + 100 * again + b"l.")


def test_every_cut_is_noticed() -> None:
    for protocol in (0, 2, 5):
        content = pickle.dumps({"a": np.ones(3), "b": ["x", 2.5, 2**70]}, protocol)
        for length in range(1, len(content)):
            with pytest.raises(EspretError, match="damaged, or not a pickle"):
                parse_pickle(content[:length], "x.pkl")


def test_damaged_bytes_end_in_an_error_or_a_value() -> None:
    rng = random.Random(0)
    seeds = [pickle.dumps(value, protocol) for value in VALUES[:-1] for protocol in (0, 2, 4, 5)]
    refused = 0
    for _ in range(1500):
        content = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 2, 8))):
            content[rng.randrange(len(content))] = rng.choice((rng.randrange(256), *b"Rbsuae\x86\x93(0h"))
        try:
            parse_pickle(bytes(content), "x.pkl")
        except EspretError:
            refused += 1
    assert refused > 500


def test_no_file_and_no_content(tmp_path: Path) -> None:
    with pytest.raises(EspretError, match="none.pkl: no such file"):
        load_pickle(tmp_path / "none.pkl")
    (tmp_path / "empty.pkl").touch()
    with pytest.raises(EspretError, match="empty.pkl: empty file; expected a pickle"):
        load_pickle(tmp_path / "empty.pkl")
    with pytest.raises(EspretError, match="cannot be read: Is a directory"):
        load_pickle(tmp_path)
