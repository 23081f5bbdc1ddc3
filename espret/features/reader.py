"""Reading dumped features by utterance id. Writing them is `dump`; nothing here knows about models."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
from kaldiio.matio import read_kaldi
from numpy.typing import NDArray

from espret.data.tables import read_table
from espret.errors import EspretError, nearest
from espret.files import read_json


class FeatureReader:
    """Random access to the matrices of a feature directory (feats.scp): `reader[utt]` is float32 [frames, dim], and
    `reader.stored(utt)` has the type that they are kept in.

    Ark paths that are relative are taken from the working directory, as Kaldi does. Keeps no file open, so it may be
    shared with forked or pickled data-loader workers. Kaldi's matrices, compressed ones too, are read, and of what else
    kaldiio puts into arks .npy arrays (float16) and flac (waveforms, [samples, 1]); anything else (it would even
    unpickle) is refused.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.scp = self.path / "feats.scp"
        self._where: dict[str, tuple[str, int]] = {}
        for number, (utt, value) in enumerate(read_table(self.scp).items(), 1):
            match = re.fullmatch(r"(.+):([0-9]+)", value, re.DOTALL)
            if not match:
                raise EspretError(f"{self.scp}:{number}: '{utt}' has {value!r}; expected 'path.ark:offset'")
            self._where[utt] = (match[1], int(match[2]))

    @property
    def utts(self) -> list[str]:
        """The utterance ids, sorted."""
        return list(self._where)

    @property
    def about(self) -> dict[str, Any]:
        """about.json: front end, options, sample_rate, dim, hop_seconds. Raises EspretError where it is missing."""
        return read_json(self.path / "about.json")

    @property
    def dim(self) -> int:
        """Columns of every matrix."""
        return int(self.about["dim"])

    def num_frames(self) -> dict[str, int]:
        """Rows of each matrix, from utt2num_frames."""
        return {utt: int(frames) for utt, frames in read_table(self.path / "utt2num_frames").items()}

    def __contains__(self, utt: object) -> bool:
        return utt in self._where

    def __len__(self) -> int:
        return len(self._where)

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __getitem__(self, utt: str) -> NDArray[np.float32]:
        """float32 [frames, dim]. Raises EspretError for an unknown id and for an ark that is missing or damaged."""
        return np.asarray(self.stored(utt), dtype=np.float32)

    def stored(self, utt: str) -> NDArray[Any]:
        """[frames, dim] in the type of the ark's numbers, float16 where .npy arrays are kept so; it may be read-only.
        Raises EspretError for an unknown id and for an ark that is missing or damaged."""
        try:
            ark, offset = self._where[utt]
        except KeyError:
            raise EspretError(f"{self.scp}: no features of '{utt}'{nearest(utt, self._where)}") from None
        try:
            with open(ark, "rb") as stream:
                stream.seek(offset)
                matrix = _decoded(stream)
        except FileNotFoundError:
            raise EspretError(
                f"{self.scp}: '{utt}' is in {ark}, which does not exist (working directory {os.getcwd()}); "
                "expected the recipe's folder as working directory and stage 1's output; "
                "mend: ./run.sh --stage 1 --stop-stage 1 --force"
            ) from None
        except Exception as error:  # kaldiio raises assertions, struct and value errors for damaged bytes
            raise EspretError(f"{ark}:{offset}: features of '{utt}' cannot be read: {error!r}") from None
        if matrix.ndim != 2:
            raise EspretError(f"{ark}:{offset}: features of '{utt}' have shape {matrix.shape}; expected [frames, dim]")
        return matrix


def _decoded(stream: BinaryIO) -> NDArray[Any]:
    """The array at the stream's position. Raises errors of many kinds where there is none."""
    head = stream.read(5)
    if head[:2] == b"\0B":
        stream.seek(-len(head), os.SEEK_CUR)
        return np.asarray(read_kaldi(stream))
    if head[:3] == b"NPY":
        stream.seek(3 - len(head), os.SEEK_CUR)
        array = np.lib.format.read_array(io.BytesIO(_block(stream)), allow_pickle=False)
        if array.dtype.kind != "f":
            raise ValueError(f"an array of {array.dtype}")
        return np.asarray(array)
    block = _block(stream) if head == b"AUDIO" else b""
    if not block.startswith(b"fLaC"):
        raise ValueError("no Kaldi matrix there")
    return np.asarray(soundfile.read(io.BytesIO(block), dtype="float32", always_2d=True)[0])


def _block(stream: BinaryIO) -> bytes:
    """The bytes that a length stands before: one byte says how many bytes the length has, which begins with its low."""
    length = int.from_bytes(stream.read(stream.read(1)[0]), "little")
    block = stream.read(min(length, os.fstat(stream.fileno()).st_size))
    if len(block) < length:
        raise ValueError(f"{len(block)} bytes of {length}")
    return block
