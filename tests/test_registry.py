"""Registries: names to things, an unknown name says which one was meant; what a component refuses is an error of the
configuration."""

from __future__ import annotations

import pytest
import torch

from espret.config import build
from espret.errors import EspretError
from espret.registry import Registry
from espret.training import OPTIMIZERS

REGISTRY = Registry("pet", {"cat": "espret.registry:Registry"})


def test_names() -> None:
    assert "cat" in REGISTRY and "dog" not in REGISTRY and list(REGISTRY) == ["cat"]
    assert REGISTRY.load("cat") is Registry
    with pytest.raises(EspretError, match=r"unknown pet 'cst'.*did you mean 'cat'"):
        REGISTRY.load("cst")


def test_a_number_that_the_component_refuses() -> None:
    with pytest.raises(EspretError, match=r"train.optimizer \(adam\): Invalid learning rate"):
        build(OPTIMIZERS, {"type": "adam", "lr": -1.0}, "train.optimizer", params=[torch.nn.Parameter(torch.ones(1))])
