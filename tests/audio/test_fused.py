"""Batch norms folded into the convolutions before them: the same maps, in training too."""

import pytest
import torch
from torch import nn

from espret.audio.fused import run_fused


@pytest.fixture
def layers():
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.BatchNorm2d(1),
        nn.Conv2d(1, 5, 3, stride=2, padding=1),
        nn.BatchNorm2d(5, eps=0.1),
        nn.ReLU(),
        nn.Conv2d(5, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 3, 3, padding=1),
    )
    for layer in made:
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight.data, layer.bias.data, layer.running_mean, layer.running_var):
                tensor.uniform_(0.5, 2)
    return made


def test_the_same_maps_without_calling_the_norms(layers):
    maps = torch.randn(2, 1, 9, 11)
    expected = layers.eval()(maps)
    called = []
    for layer in layers:
        layer.register_forward_hook(lambda module, given, made: called.append(type(module)))
    torch.testing.assert_close(run_fused(layers, maps), expected)
    assert called == [nn.BatchNorm2d, nn.ReLU, nn.Conv2d]  # the first norm follows no convolution


def test_statistics_and_gradients_in_training(layers):
    maps = torch.randn(2, 1, 9, 11)
    before = layers[2].running_mean.clone()
    run_fused(layers.train(), maps).sum().backward()
    assert not torch.equal(layers[2].running_mean, before)
    assert layers[1].weight.grad.abs().sum() > 0


def test_gradients_with_fixed_statistics(layers):
    maps = torch.randn(2, 1, 9, 11)
    layers.eval()(maps).square().sum().backward()
    expected = [parameter.grad.clone() for parameter in layers.parameters()]
    layers.zero_grad()
    run_fused(layers, maps).square().sum().backward()
    torch.testing.assert_close([parameter.grad for parameter in layers.parameters()], expected, atol=1e-3, rtol=1e-4)
