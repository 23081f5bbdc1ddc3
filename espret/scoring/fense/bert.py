"""BERT-like encoders for the metrics that need one: device, models of the hub, batches of captions of like length.

How a folder's tokenizer and encoder are read is in espret/huggingface.py; what is made of the encoders' outputs is in
`sentence_bert` and `detector`. Imports torch and transformers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from espret.errors import EspretError
from espret.huggingface import hub_folder
from espret.scoring.fense import install as fense_install
from espret.scoring.metric import Unavailable

BATCH = 64


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


def of_hub(name: str, with_weights: bool = True) -> Path:
    """The folder of a model of the Hugging Face hub, for metrics. Raises Unavailable."""
    try:
        return hub_folder(name, with_weights)
    except EspretError as error:
        raise Unavailable(f"{error}; or name none and run {fense_install.COMMAND}") from None


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
