"""Tiny BERTs whose weights follow from their names, as folders of Sentence-BERT and as detectors of fluency errors.

The goldens of test_sbert.py and test_fluency.py are of these weights: a change here makes them worthless.
"""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertModel

WORDS = ["a", "dog", "bark", "##s", "##ing", "loud", "##ly", "and", "then", "rain", "fall", "on", "the", "roof", "bird"]
WORDS += ["it", "'", "s", "caf", "##e", "1", "2", "(", ")", ",", ".", "!", "-", "b", "c", "d"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *"efghijklmnopqrstuvwxyz"]
CAPTIONS = [
    "a dog barks loudly and then rain falls on the roof",
    "a bird and a dog",
    "",
    "A Dog barks, loudly!  It's (raining) on the café - then 12 birds.",
    "the the the the the the the the the the the the the the the the the the the the the the the the the the the",
    "bird",
]


def config() -> BertConfig:
    """Two layers of 16 units."""
    return BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=80,
    )


def tensor(name: str, shape: torch.Size) -> torch.Tensor:
    """Normal random numbers from the name's checksum, around 1 for the gains of layer normalisation."""
    values = torch.from_numpy(np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)).float()
    return 1 + 0.1 * values if name.endswith("LayerNorm.weight") else 0.6 * values


def bert_state() -> dict[str, torch.Tensor]:
    """All tensors of the tiny BERT."""
    return {name: tensor(name, value.shape) for name, value in BertModel(config()).state_dict().items()}


def write_base(folder: Path) -> Path:
    """Configuration and word list."""
    folder.mkdir(parents=True, exist_ok=True)
    config().save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    write(folder / "tokenizer_config.json", {"do_lower_case": True, "tokenizer_class": "BertTokenizer"})
    return folder


def write_sbert(folder: Path, pooling: str = "mean_tokens", modules: tuple[str, ...] = (), **settings: Any) -> Path:
    """A Sentence-BERT folder; `settings` are those of the encoder."""
    write_base(folder)
    model = BertModel(config())
    model.load_state_dict(bert_state())
    model.save_pretrained(folder)
    kinds = modules or ("Transformer", "Pooling")
    paths = ["", *(f"{number}_{kind}" for number, kind in enumerate(kinds[1:], 1))]
    rows = zip(kinds, paths)
    write(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (kind, path) in enumerate(rows)
        ],
    )
    (folder / "1_Pooling").mkdir(exist_ok=True)
    write(folder / "1_Pooling/config.json", {"word_embedding_dimension": 16, f"pooling_mode_{pooling}": True})
    if settings:
        write(folder / "sentence_bert_config.json", settings)
    return folder


def write_detector(file: Path, base: str = "tiny-base", classes: int = 6) -> Path:
    """A detector's checkpoint as release V0.1 of fense has them, with the buffer that transformers dropped later."""
    state = {f"encoder.{name}": value for name, value in bert_state().items()}
    state["encoder.embeddings.position_ids"] = torch.arange(80).unsqueeze(0)
    state["clf.weight"] = tensor("clf.weight", torch.Size([classes, 16]))
    state["clf.bias"] = tensor("clf.bias", torch.Size([classes]))
    torch.save({"model_type": base, "num_classes": classes, "state_dict": state}, file)
    return file


def write(file: Path, value: Any) -> None:
    """Write JSON."""
    file.write_text(json.dumps(value), encoding="utf-8")
