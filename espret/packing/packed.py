"""Loading an archive, and its system at work on audio files: features, network and search are those of stages 1 and 4.

An archive is unpacked to a temporary folder, read as an experiment is, and the folder removed. No member can run code:
weights are read with weights_only, the configuration names parts of espret's registries only.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from espret.config import System, check, load_system
from espret.data.audio import load_clip
from espret.decoding.beam import Beam
from espret.decoding.caption import caption_clips
from espret.decoding.embed import Embed, embed_captions, embed_clips, evaluating
from espret.decoding.network import load_network
from espret.errors import EspretError
from espret.features.extract import Extract, load_frontend
from espret.packing.archive import CONFIG, TEXT, unpack
from espret.text.normalise import normalise
from espret.text.prepare import load_tokenizer
from espret.text.tokenizers import BOS, EOS, Tokenizer
from espret.training.checkpoint import BEST
from espret.training.data import Split

Paths = Sequence[str | os.PathLike[str]]
Vectors = NDArray[np.float32]


class Match(NamedTuple):
    """A clip and its similarity to a query."""

    path: str
    similarity: float


class AudioFiles(Split):
    """Sound files as a split without captions: its `utts` are their paths, its features computed when asked for."""

    def __init__(self, paths: Paths, sample_rate: int, extract: Extract, dim: int) -> None:
        # Not Split's own, which reads a data directory and dumped features.
        if not paths:
            raise EspretError("no sound files; expected at least one")
        self.name = "sound files"
        self.utts = [os.fspath(path) for path in paths]
        self.dim = dim
        self.captions, self.tokens, self.owner = [], [], []
        self._cache = None
        self._sample_rate, self._extract = sample_rate, extract

    def features(self, clip: int) -> Tensor:
        """[frames, dim] of file number `clip`. Raises EspretError naming it where it is not finite audio."""
        matrix = self._extract(load_clip(self.utts[clip], self._sample_rate))
        if not np.isfinite(matrix).all():
            raise EspretError(f"{self.utts[clip]}: features are not finite; expected finite samples")
        return torch.from_numpy(matrix)


@dataclass
class Parts:
    """What an archive holds, ready for use; `meta` is its meta.json."""

    meta: dict[str, Any]
    system: System
    extract: Extract
    dim: int
    tokenizer: Tokenizer
    network: Any
    device: torch.device

    def files(self, paths: Paths) -> AudioFiles:
        """Sound files with the system's features."""
        return AudioFiles(paths, self.system.features.sample_rate, self.extract, self.dim)


class PackedCaptioner:
    """A captioning system."""

    needs = ("encode", "decoder")  # of the network

    def __init__(self, parts: Parts) -> None:
        self.meta = parts.meta
        self._parts = parts
        self._beam: Beam = check(Beam, parts.system.decode, f"{CONFIG}: decode")

    def caption(self, paths: Paths) -> list[dict[str, Any]]:
        """For each sound file (any format, rate and channel count) path, caption, score and nbest, as in hyp.jsonl.

        Raises EspretError naming a file that is not audio.
        """
        parts, files = self._parts, self._parts.files(paths)
        numbers = range(len(files.utts))
        rows = caption_clips(parts.network, files, numbers, parts.tokenizer, self._beam, parts.device)
        return [{"path": row.pop("utt"), **row} for row in rows]


class PackedRetriever:
    """A retrieval system."""

    needs = ("embed_audio", "embed_text", "similarity")  # of the network

    def __init__(self, parts: Parts) -> None:
        self.meta = parts.meta
        self._parts = parts
        self._embed: Embed = check(Embed, parts.system.decode, f"{CONFIG}: decode")

    def embed_audio(self, paths: Paths) -> Vectors:
        """Embeddings [clips, ...] of sound files, as in audio.npy. Raises EspretError naming one that is not audio."""
        return _float32(self._audio(paths))

    def embed_text(self, captions: Sequence[str]) -> Vectors:
        """Embeddings [captions, ...] of sentences, as in text.npy."""
        return _float32(self._text(captions))

    def rank(self, query: str, paths: Paths) -> list[Match]:
        """The sound files by similarity to `query`, most similar first."""
        return self.rank_all([query], paths)[0]

    def rank_all(self, queries: Sequence[str], paths: Paths) -> list[list[Match]]:
        """`rank` for several queries; each sound file is embedded once."""
        text, audio = self._text(queries), self._audio(paths)
        with evaluating(self._parts.network):
            similarities = self._parts.network.similarity(text, audio).float().cpu()
        names = [os.fspath(path) for path in paths]
        orders = similarities.argsort(dim=1, descending=True, stable=True)
        return [
            [Match(names[clip], float(row[clip])) for clip in order]
            for row, order in zip(similarities, orders.tolist())
        ]

    def _audio(self, paths: Paths) -> Tensor:
        parts = self._parts
        return embed_clips(parts.network, parts.files(paths), self._embed.batch_size, parts.device)

    def _text(self, captions: Sequence[str]) -> Tensor:
        words = [normalise(caption) for caption in captions]
        if not words:
            raise EspretError("no sentences; expected at least one")
        if not all(words):
            raise EspretError(f"sentence {captions[words.index('')]!r} has no words; expected some")
        tokens = [[BOS, *self._parts.tokenizer.encode(one), EOS] for one in words]
        return embed_captions(self._parts.network, tokens, self._parts.device)


def _float32(vectors: Tensor) -> Vectors:
    return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)


def load(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> PackedCaptioner | PackedRetriever:
    """The system in archive `path`, on `device`.

    The archive may come from anywhere. Raises EspretError naming it and the member that is not what it should be.
    """
    with tempfile.TemporaryDirectory(prefix="espret-pack-") as folder:
        meta = unpack(path, Path(folder))
        parts = _parts(path, Path(folder), meta, torch.device(device))
    kind = PackedCaptioner if meta["task"] == "captioning" else PackedRetriever
    if not all(hasattr(parts.network, name) for name in kind.needs):
        found = parts.system.model["type"]
        raise EspretError(f"{path}: {CONFIG}: network '{found}' is not one of {meta['task']}, which meta.json names")
    with _blamed(path, CONFIG):
        return kind(parts)


def _parts(path: str | os.PathLike[str], folder: Path, meta: dict[str, Any], device: torch.device) -> Parts:
    """The parts of the archive `path`, unpacked to `folder`."""
    with _blamed(path, CONFIG, folder):
        system = load_system(folder / CONFIG)
        threads = torch.get_num_threads()
        extract, about = load_frontend(system.features)
        torch.set_num_threads(threads)  # load_frontend, made for array jobs, takes one; here nothing else runs
    with _blamed(path, TEXT, folder):
        tokenizer = load_tokenizer(folder / TEXT)
    with _blamed(path, BEST, folder):
        network, _ = load_network(folder, about["dim"], len(tokenizer), device)
    return Parts(meta, system, extract, about["dim"], tokenizer, network, device)


@contextmanager
def _blamed(path: str | os.PathLike[str], member: str, folder: Path | None = None) -> Iterator[None]:
    """Errors name the archive and the member, not the temporary folder.

    Members of any content come in here, and torch, sentencepiece and constructors raise errors of many kinds. An
    EspretError that names no file is about an option.
    """
    try:
        yield
    except EspretError as error:
        message = str(error)
        if folder is not None:
            message = message.replace(f"{folder}/", "").replace(str(folder), member)
        if not message.startswith((member, CONFIG)):
            message = f"{CONFIG}: {message}"
        raise EspretError(f"{path}: {message}") from None
    except Exception as error:
        raise EspretError(f"{path}: {member}: cannot be used: {error!r}") from error
