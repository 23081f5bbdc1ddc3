"""Sentence-BERT (Reimers and Gurevych 2019): sentences to unit vectors, by a model of package sentence-transformers.

The folder is read here, without that package; the metric is espret.scoring.fense.sbert. Imports torch and transformers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from espret.errors import EspretError
from espret.files import read_json
from espret.huggingface import text_encoder, tokenizer_of
from espret.scoring.fense import bert

Pooling = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _mean(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (tokens * mask).sum(1) / mask.sum(1).clamp(min=1e-9)


def _cls(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return tokens[:, 0]


def _max(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return tokens.masked_fill(mask == 0, -torch.inf).max(1).values


# Token vectors [batch, tokens, dim] and mask [batch, tokens, 1] -> sentence vectors [batch, dim].
POOLING: dict[str, Pooling] = {"mean": _mean, "cls": _cls, "max": _max}

# The switches of 1_Pooling/config.json as it was written until release 5; later ones write `pooling_mode`.
_SWITCHES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_PLAIN = ("word_embedding_dimension", "embedding_dimension", "include_prompt")  # change nothing here
# What release 6 writes of the encoder, and what it must be.
_FIXED = {"transformer_task": "feature-extraction", "module_output_name": "token_embeddings"}
# Which modules may follow which. Normalize is right either way: the vectors are made unit vectors in the end.
_CHAINS = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])


class SentenceBert:
    """A Sentence-BERT model. Raises EspretError for a folder that is not one or has parts that are unknown here."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        paths = _modules(folder)
        settings = _transformer_settings(folder / paths["Transformer"])
        _refuse_prompts(folder)
        self.pooling = POOLING[_pooling_mode(folder / paths["Pooling"] / "config.json")]
        self.device = bert.device_of(device)
        self.encoder = text_encoder(folder / paths["Transformer"]).eval().to(self.device)
        self.tokenizer = tokenizer_of(folder / paths["Transformer"])
        self.limit = _limit(settings, self.tokenizer, self.encoder.config)
        self.lower = bool(settings.get("do_lower_case"))

    def embed(self, sentences: list[str]) -> np.ndarray:
        """Unit vectors of sentences, float32 [sentences, dim]; tokens beyond the model's limit are cut off."""
        texts = [sentence.lower() for sentence in sentences] if self.lower else sentences
        return bert.apply(self._vectors, self.tokenizer, texts, self.limit, self.device)

    def _vectors(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        tokens = self.encoder(**batch).last_hidden_state
        vectors = self.pooling(tokens, batch["attention_mask"].unsqueeze(-1).to(tokens.dtype))
        return torch.nn.functional.normalize(vectors, dim=1)


@functools.lru_cache(maxsize=2)
def load(folder: Path, device: str) -> SentenceBert:
    """The model of a folder, kept: SBERT and SBERT-raw use one."""
    return SentenceBert(folder, device)


def _modules(folder: Path) -> dict[str, str]:
    """Kind of module -> its folder within the model's, of modules.json."""
    file = folder / "modules.json"
    if not file.is_file():
        raise EspretError(f"{folder} is no Sentence-BERT model of the sentence-transformers package: no modules.json")
    try:
        modules = [(str(one["type"]), str(one["path"])) for one in read_json(file)]
    except (TypeError, KeyError):
        raise EspretError(f"{file}: expected a list of objects with type and path") from None
    kinds = [kind.rsplit(".", 1)[-1] for kind, _ in modules]
    if kinds not in _CHAINS or not all(kind.startswith("sentence_transformers.") for kind, _ in modules):
        found = ", ".join(kind for kind, _ in modules)
        raise EspretError(f"{file}: found the modules {found}; known: {' or '.join(', '.join(c) for c in _CHAINS)}")
    paths = dict(zip(kinds, (path for _, path in modules)))
    if any(Path(path).is_absolute() or ".." in Path(path).parts for path in paths.values()):
        raise EspretError(f"{file}: a module lies outside the model's folder: {', '.join(paths.values())}")
    return paths


def _pooling_mode(file: Path) -> str:
    """The one way of pooling that a module's config.json sets."""
    settings = _object(file)
    modes = settings.get("pooling_mode") or [mode for key, mode in _SWITCHES.items() if settings.get(key)]
    modes = [modes] if isinstance(modes, str) else list(modes)
    _known(file, settings, {*_SWITCHES, "pooling_mode", *_PLAIN})
    if len(modes) != 1 or modes[0] not in POOLING:
        raise EspretError(f"{file}: pools by {' and '.join(modes) or 'nothing'}; known: one of {', '.join(POOLING)}")
    return str(modes[0])


def _transformer_settings(folder: Path) -> dict[str, Any]:
    """What sentence_bert_config.json sets for the encoder: max_seq_length, do_lower_case."""
    file = folder / "sentence_bert_config.json"
    settings = _object(file) if file.is_file() else {}
    _known(file, settings, {"max_seq_length", "do_lower_case", *_FIXED, "modality_config"})
    for name, value in _FIXED.items():
        if settings.get(name, value) != value:
            raise EspretError(f"{file}: {name} is {settings[name]!r:.80}, expected {value}")
    return settings


def _limit(settings: dict[str, Any], tokenizer: Any, config: Any) -> int:
    """Tokens that the encoder sees of a sentence, with the special ones."""
    wanted = settings.get("max_seq_length") or tokenizer.model_max_length
    return int(min(wanted, getattr(config, "max_position_embeddings", wanted)))


def _refuse_prompts(folder: Path) -> None:
    file = folder / "config_sentence_transformers.json"
    settings = _object(file) if file.is_file() else {}
    if settings.get("default_prompt_name"):
        raise EspretError(f"{file}: the model prefixes sentences with a prompt, which is unknown here")


def _known(file: Path, settings: dict[str, Any], known: set[str]) -> None:
    if unknown := sorted(settings.keys() - known):
        raise EspretError(f"{file}: unknown setting {unknown[0]}; known: {', '.join(sorted(known))}")


def _object(file: Path) -> dict[str, Any]:
    value = read_json(file)
    if not isinstance(value, dict):
        raise EspretError(f"{file}: expected an object, found {value!r:.80}")
    return value
