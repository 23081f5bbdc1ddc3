"""Convolutions with the batch norms that follow them folded into their weights, where their statistics are fixed."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d


def run_fused(layers: Iterable[nn.Module], maps: Tensor) -> Tensor:
    """What the layers make of `maps` one after the other, without a pass over the maps for each norm in eval mode.

    A norm that is folded is not called (its hooks are not either).
    """
    chain = list(layers)
    steps = iter(zip(chain, [*chain[1:], None]))
    for layer, following in steps:
        if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d) and not following.training:
            maps = conv2d(maps, *_folded(layer, following), layer.stride, layer.padding, layer.dilation, layer.groups)
            next(steps)
        else:
            maps = layer(maps)
    return maps


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that does what both do in eval mode."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    bias = norm.bias - norm.running_mean * scale
    if convolution.bias is not None:
        bias = bias + convolution.bias * scale
    return convolution.weight * scale[:, None, None, None], bias
