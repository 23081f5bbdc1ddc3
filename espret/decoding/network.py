"""A trained network for decoding: rebuilt from an experiment folder's configuration and weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from espret.config import Component, System, build, load_system
from espret.errors import EspretError
from espret.models import NETWORKS
from espret.training import weights


def load_network(exp: str | Path, dim: int, vocabulary: int, device: torch.device) -> tuple[Any, System]:
    """The network of experiment `exp` in eval mode on `device`, and its system.

    `dim` and `vocabulary` are those of the features and tokenizer at hand. Raises EspretError if they are not those
    that the network was trained with.
    """
    system = load_system(Path(exp) / "config.yaml")
    model = _without_checkpoints(system.model)
    network = build(NETWORKS, model, f"{exp}/config.yaml: model", dim=dim, vocabulary=vocabulary)
    try:
        network.load_state_dict(weights.load(Path(exp), system.train))
    except RuntimeError as error:
        raise EspretError(
            f"{exp}: its weights do not fit these features ({dim} dimensions) and this tokenizer ({vocabulary} tokens):"
            f" {str(error).splitlines()[1].strip()}; give the --feats and --text it was trained with, or redo stage 3"
        ) from None
    return network.to(device).eval(), system


def _without_checkpoints(component: Component) -> Component:
    """The component without the pretrained weights that its encoders began with: the trained ones take their place."""
    options = {
        key: _without_checkpoints(value) if isinstance(value, dict) else value for key, value in component.items()
    }
    return {**options, "checkpoint": "random"} if "checkpoint" in options else options
