"""BERT-like encoders for the metrics that need one: folder, tokenizer, weights, batches of captions of like length.

What is made of the encoders' outputs is in `sentence_bert` and `detector`. Imports torch and transformers.
"""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertConfig
from transformers.utils import logging

from espret.errors import EspretError
from espret.files import read_json
from espret.scoring.fense import install as fense_install
from espret.scoring.metric import Unavailable

BATCH = 64
MALFORMED = (SafetensorError, pickle.UnpicklingError)  # what reading broken weights raises


def device_of(name: str) -> torch.device:
    """The torch device of that name. Raises EspretError when this machine has none."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise EspretError(
            f"--device {name}: torch cannot use it ({reason:.150}); --device cpu works anywhere"
        ) from None
    return device


def hub_folder(name: str, weights: bool) -> Path:
    """The files of a repository of the Hugging Face hub, from its cache on this machine or downloaded now
    ($HF_ENDPOINT, $HF_HOME and $HF_HUB_OFFLINE count): configuration and tokenizer, with `weights` the network too.

    Raises Unavailable.
    """
    hub = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    rest = ["*.json", "*.txt", "*.model"]

    def get(patterns: list[str]) -> Path:
        return Path(hub.snapshot_download(name, allow_patterns=patterns, ignore_patterns=["onnx/*", "openvino/*"]))

    try:
        folder = get([*rest, "*.safetensors"] if weights else rest)
        if weights and not any(folder.glob("*.safetensors")):
            folder = get([*rest, "pytorch_model.bin"])
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise Unavailable(
            f"cannot fetch {name} from the Hugging Face hub: {str(error).splitlines()[0]:.300}; name a folder that has "
            f"it, or run {fense_install.COMMAND} and name none"
        ) from None
    return folder


def tokenizer_of(folder: Path) -> Any:
    """The tokenizer that a folder describes. Raises EspretError."""
    config = config_of(folder)
    with _reading(folder, "tokenizer"):
        return AutoTokenizer.from_pretrained(folder, config=config, local_files_only=True)


def config_of(folder: Path) -> Any:
    """A folder's config.json; early ones, that of prajjwal1/bert-tiny among them, do not say that they are of a BERT.
    Raises EspretError."""
    values = read_json(folder / "config.json")
    kind = AutoConfig if isinstance(values, dict) and "model_type" in values else BertConfig
    with _reading(folder, "config.json"):
        return kind.from_pretrained(folder, local_files_only=True)


def architecture_of(folder: Path) -> Any:
    """The encoder that a folder's config.json describes, with random weights. Raises EspretError."""
    config = config_of(folder)
    with _reading(folder, "config.json"):
        return AutoModel.from_config(config, dtype=torch.float32)


def encoder_of(folder: Path) -> Any:
    """The encoder of a folder with its weights, in float32. Raises EspretError when weights are missing."""
    with _reading(folder, "network"):
        encoder, loaded = AutoModel.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
    # A pooler is not read by anything here, and not every checkpoint has one.
    if missing := sorted(key for key in loaded["missing_keys"] if not key.startswith("pooler.")):
        raise EspretError(f"{folder}: its weights lack {len(missing)} tensors of its config.json, first {missing[0]}")
    return encoder


@contextlib.contextmanager
def _reading(folder: Path, what: str) -> Iterator[None]:
    """Without transformers' bars and hints, without a trace in torch's random numbers, with its errors as ours."""
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    except (*MALFORMED, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise EspretError(f"{folder}: no {what} that transformers reads: {reason:.300}") from None
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@torch.inference_mode()
def apply(
    function: Callable[[dict[str, torch.Tensor]], torch.Tensor],
    tokenizer: Any,
    captions: list[str],
    limit: int,
    device: torch.device,
) -> np.ndarray:
    """`function` of the captions' tokens (cut to `limit`) -> float32 [captions, dim].

    Captions of like length share a batch, so that little is padding; the rows are in the order of the captions.
    """
    tokens = tokenizer(captions, truncation=True, max_length=limit)
    order = sorted(range(len(captions)), key=lambda index: len(tokens["input_ids"][index]))
    rows: list[np.ndarray] = [np.empty(0)] * len(captions)
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        batch = _padded(tokenizer, tokens, chosen)
        values = function({name: tensor.to(device) for name, tensor in batch.items()}).float().cpu().numpy()
        for index, row in zip(chosen, values):
            rows[index] = row
    return np.stack(rows)


def _padded(tokenizer: Any, tokens: Any, chosen: list[int]) -> dict[str, torch.Tensor]:
    """The tokens of some captions, padded to their longest."""
    padding = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id, "attention_mask": 0}
    longest = max(len(tokens["input_ids"][index]) for index in chosen)
    return {
        name: torch.tensor([rows[i] + [padding[name]] * (longest - len(rows[i])) for i in chosen])
        for name, rows in tokens.items()
    }
