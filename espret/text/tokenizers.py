"""Tokenizers: words, and sentencepiece's BPE and unigram pieces. They see normalised captions only (normalise.py).

Every tokenizer gives the special tokens the same ids, so that networks and searches need not know which one it is.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from espret.errors import EspretError
from espret.files import atomic_write, write_text

PAD, BOS, EOS, UNK = 0, 1, 2, 3
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")


class Tokenizer(Protocol):
    """What stages 3 and 4 use of a tokenizer. `encode` gives no BOS or EOS; `decode` drops special tokens."""

    def __len__(self) -> int: ...
    def encode(self, caption: str) -> list[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...
    def train(self, captions: Iterable[str]) -> None: ...
    def save(self, folder: Path) -> None: ...
    def load(self, folder: Path) -> None: ...


class WordTokenizer:
    """One token a word, most frequent first; words seen fewer than `min_count` times become <unk>.

    Saved as `words.txt`, one token a line in the order of ids.
    """

    def __init__(self, min_count: int = 1) -> None:
        self.min_count = min_count
        self._set(list(SPECIAL))

    def _set(self, words: list[str]) -> None:
        self.words = words
        self.ids = {word: index for index, word in enumerate(words)}

    def __len__(self) -> int:
        return len(self.words)

    def train(self, captions: Iterable[str]) -> None:
        """Take the vocabulary from normalised captions."""
        counts = Counter(word for caption in captions for word in caption.split())
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        self._set([*SPECIAL, *(word for word, count in ranked if count >= self.min_count)])

    def encode(self, caption: str) -> list[int]:
        """Token ids of a normalised caption."""
        return [self.ids.get(word, UNK) for word in caption.split()]

    def decode(self, ids: Sequence[int]) -> str:
        """The caption of token ids."""
        return " ".join(self.words[index] for index in ids if index >= len(SPECIAL))

    def save(self, folder: Path) -> None:
        """Write `words.txt`."""
        write_text(folder / "words.txt", "".join(f"{word}\n" for word in self.words))

    def load(self, folder: Path) -> None:
        """Read `words.txt`. Raises EspretError if it is not what `save` wrote."""
        path = folder / "words.txt"
        if not path.is_file():
            raise EspretError(f"{path}: no such file; redo stage 2")
        words = path.read_text(encoding="utf-8").splitlines()
        if tuple(words[: len(SPECIAL)]) != SPECIAL:
            raise EspretError(f"{path}:1: expected the special tokens {' '.join(SPECIAL)}; redo stage 2")
        self._set(words)


class SentencePieceTokenizer:
    """Sub-word pieces by sentencepiece (Kudo and Richardson, 2018). Saved as `pieces.model`."""

    model_type = ""

    def __init__(self, vocabulary: int = 1000, character_coverage: float = 1.0) -> None:
        self.vocabulary = vocabulary
        self.character_coverage = character_coverage
        self._model = b""

    def _read(self, model: bytes) -> None:
        from sentencepiece import SentencePieceProcessor

        self._model = model
        self._pieces = SentencePieceProcessor(model_proto=model)

    def __len__(self) -> int:
        return int(self._pieces.get_piece_size())

    def train(self, captions: Iterable[str]) -> None:
        """Learn pieces from normalised captions. Raises EspretError if they do not give `vocabulary` pieces."""
        from sentencepiece import SentencePieceTrainer

        model = io.BytesIO()
        options: dict[str, Any] = {"pad_id": PAD, "bos_id": BOS, "eos_id": EOS, "unk_id": UNK}
        options |= dict(zip(("pad_piece", "bos_piece", "eos_piece", "unk_piece"), SPECIAL))
        try:
            SentencePieceTrainer.train(
                sentence_iterator=iter(captions),
                model_writer=model,
                model_type=self.model_type,
                vocab_size=self.vocabulary,
                character_coverage=self.character_coverage,
                num_threads=1,
                minloglevel=2,
                **options,
            )
        except (RuntimeError, OSError) as error:
            raise EspretError(
                f"text.tokenizer.vocabulary {self.vocabulary}: sentencepiece cannot make so many "
                f"{self.model_type} pieces of these captions: {str(error).strip().splitlines()[-1]}"
            ) from None
        self._read(model.getvalue())

    def encode(self, caption: str) -> list[int]:
        """Token ids of a normalised caption."""
        return list(self._pieces.encode(caption))

    def decode(self, ids: Sequence[int]) -> str:
        """The caption of token ids."""
        return str(self._pieces.decode([int(index) for index in ids if index >= len(SPECIAL)]))

    def save(self, folder: Path) -> None:
        """Write `pieces.model`."""
        with atomic_write(folder / "pieces.model", "wb") as stream:
            stream.write(self._model)

    def load(self, folder: Path) -> None:
        """Read `pieces.model`."""
        path = folder / "pieces.model"
        if not path.is_file():
            raise EspretError(f"{path}: no such file; redo stage 2")
        self._read(path.read_bytes())


class BpeTokenizer(SentencePieceTokenizer):
    """Byte-pair encoding (Sennrich et al., 2016) by sentencepiece."""

    model_type = "bpe"


class UnigramTokenizer(SentencePieceTokenizer):
    """Unigram language model pieces (Kudo, 2018) by sentencepiece."""

    model_type = "unigram"
