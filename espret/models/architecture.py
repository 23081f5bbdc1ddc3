"""What a network's configuration lacks to make it again without the files that its weights first came from."""

from __future__ import annotations

from torch import nn

from espret.config import Component


def with_architectures(model: Component, network: nn.Module) -> Component:
    """The system file's `model` with the option `architecture` of each part of the network that has one.

    Parts are named in the network as in the file.
    """
    options = {
        key: with_architectures(value, getattr(network, key))
        if isinstance(value, dict) and isinstance(getattr(network, key, None), nn.Module)
        else value
        for key, value in model.items()
    }
    found = getattr(network, "architecture", None)
    return options | {"architecture": found} if isinstance(found, dict) else options
