"""The tokenizers of pretrained text encoders (transformers), with espret's special tokens. The encoders themselves are
in espret/models/retrieval/bert.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from espret.errors import EspretError
from espret.files import read_json, write_json
from espret.text.tokenizers import SPECIAL, UNK

FILE = "pretrained.json"
SPECIAL_IDS = ("pad_token_id", "cls_token_id", "sep_token_id", "unk_token_id")  # a model's for PAD, BOS, EOS and UNK


class HuggingFaceTokenizer:
    """The tokenizer of `model`: a folder that `save_pretrained` wrote, or a name on the Hugging Face hub.

    Token i of the model is token i + 4 here, after the special tokens that all tokenizers share; what the encoder makes
    of these is its part. Captions are cut to `max_length` tokens, BOS and EOS included, so EOS is always there. Saved
    as `pretrained.json`, which holds all that `load` needs.
    """

    def __init__(self, model: str, max_length: int = 64) -> None:
        if max_length < 3:
            raise EspretError(f"text.tokenizer (huggingface): max_length {max_length}; expected at least 3")
        self.model, self.max_length = model, max_length
        self._saved: dict[str, Any] = {}

    def _set(self, saved: dict[str, Any], where: str | Path) -> None:
        from tokenizers import Tokenizer  # a package of transformers' own, which takes seconds less to import

        try:
            self._pieces = Tokenizer.from_str(saved["tokenizer"])
            self._unknown, self._size = int(saved["unk_token_id"]), int(saved["size"])
        except Exception as error:  # that package raises nothing more precise
            raise EspretError(f"{where}: no tokenizer: {error!s:.200}; mend: redo stage 2") from None
        self._saved = saved

    def __len__(self) -> int:
        return len(SPECIAL) + self._size

    def train(self, captions: Iterable[str]) -> None:
        """Take the model's tokenizer; nothing is learned from the captions.

        Raises EspretError where it is not to be had, or lacks a special token.
        """
        from espret.huggingface import model_folder, tokenizer_of

        folder = model_folder(self.model)
        tokenizer = tokenizer_of(folder)
        if tokenizer.model_max_length < self.max_length:
            raise EspretError(
                f"text.tokenizer (huggingface): max_length {self.max_length}; expected at most "
                f"{tokenizer.model_max_length}, which is what {self.model} is made for"
            )
        pieces = getattr(tokenizer, "backend_tokenizer", None)
        if pieces is None:
            raise EspretError(
                f"{folder}: {type(tokenizer).__name__} has no tokenizer.json; expected one of the package tokenizers"
            )
        pieces.no_truncation()
        pieces.no_padding()
        size = 1 + max(tokenizer.get_vocab().values())
        special = special_ids(tokenizer, folder)
        self._set({"tokenizer": pieces.to_str(), "unk_token_id": special[UNK], "size": size}, folder)

    def encode(self, caption: str) -> list[int]:
        """Token ids of a normalised caption."""
        found = self._pieces.encode(caption, add_special_tokens=False).ids[: self.max_length - 2]
        return [UNK if index == self._unknown else index + len(SPECIAL) for index in found]

    def decode(self, ids: Sequence[int]) -> str:
        """The caption of token ids."""
        return str(self._pieces.decode([int(index) - len(SPECIAL) for index in ids if index >= len(SPECIAL)]))

    def save(self, folder: Path) -> None:
        """Write `pretrained.json`."""
        write_json(folder / FILE, self._saved)

    def load(self, folder: Path) -> None:
        """Read `pretrained.json`. Raises EspretError if it is not what `save` wrote."""
        if not (folder / FILE).is_file():
            raise EspretError(f"{folder / FILE}: no such file; redo stage 2")
        self._set(read_json(folder / FILE), folder / FILE)


def special_ids(tokenizer: Any, where: str | Path) -> list[int]:
    """A model's token ids for PAD, BOS, EOS and UNK. Raises EspretError if its tokenizer lacks one."""
    found = [getattr(tokenizer, name, None) for name in SPECIAL_IDS]
    if None in found:
        lacking = SPECIAL_IDS[found.index(None)].removesuffix("_id")
        raise EspretError(
            f"{where}: its tokenizer, {type(tokenizer).__name__}, has no {lacking}; expected that of a text encoder "
            "such as BERT or RoBERTa"
        )
    return [int(index) for index in found if index is not None]
