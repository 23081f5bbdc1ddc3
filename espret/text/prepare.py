"""Stage 2: train a tokenizer on the training captions and leave it, with statistics, in `dump/text/<name>`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from espret.config import Component, build
from espret.data.datadir import DataDir
from espret.errors import EspretError
from espret.files import read_json, write_json
from espret.text import TOKENIZERS
from espret.text.normalise import normalise
from espret.text.tokenizers import UNK, Tokenizer


def prepare_text(tokenizer: Component, data: str | Path, out: str | Path) -> Tokenizer:
    """Train `tokenizer` on the captions of data directory `data`; write it and `stats.json` to folder `out`.

    Raises EspretError if the directory has no captions.
    """
    captions = _captions(data)
    trained: Tokenizer = build(TOKENIZERS, tokenizer, "text.tokenizer")
    trained.train(captions)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    trained.save(folder)
    stats = {"tokens_in_vocabulary": len(trained), "train": _statistics(trained, captions)}
    write_json(folder / "stats.json", stats)
    write_json(folder / "tokenizer.json", tokenizer)  # last: its presence says that the folder is whole
    return trained


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer that `prepare_text` left in `folder`. Raises EspretError if it is not there or not whole."""
    path = Path(folder) / "tokenizer.json"
    if not path.is_file():
        raise EspretError(f"{path}: no tokenizer here; needs stage 2: run ./run.sh --stage 2 --stop-stage 2")
    tokenizer: Tokenizer = build(TOKENIZERS, read_json(path), str(path))
    tokenizer.load(Path(folder))
    return tokenizer


def _captions(data: str | Path) -> list[str]:
    captions = [normalise(words) for words in DataDir.load(data).text.values()]
    if not any(captions):
        raise EspretError(f"{Path(data) / 'text'}: no captions; a tokenizer is trained on the captions of this split")
    return captions


def _statistics(tokenizer: Tokenizer, captions: Iterable[str]) -> dict[str, Any]:
    """Counts of words and tokens; `unknown` is the share of tokens that are <unk>, in percent."""
    words = [caption.split() for caption in captions]
    tokens = [tokenizer.encode(" ".join(caption)) for caption in words]
    lengths = [len(ids) for ids in tokens]
    total = sum(lengths)
    return {
        "captions": len(words),
        "words": sum(len(caption) for caption in words),
        "word_types": len(Counter(word for caption in words for word in caption)),
        "tokens": total,
        "mean_length": round(total / max(len(lengths), 1), 3),
        "max_length": max(lengths, default=0),
        "unknown": round(100 * sum(ids.count(UNK) for ids in tokens) / max(total, 1), 4),
    }
