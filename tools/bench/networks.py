#!/usr/bin/env python3
"""Stage 1's networks against the implementations they were published with, on the same waveforms with equal weights.

    tools/bench/networks.py [NAME ...] [--batch N,N] [--rounds K] [--threads T] [--device cuda [--bfloat16]]

From waveforms to a vector a clip (VGGish: 10 vectors), front end included. A peer draws random weights and writes them
to a file, which espret reads. Prints clips/s, how many times as fast espret is, and by how much the outputs differ. All
compute in float32 (TF32 is off); with --bfloat16 espret and the peers run under autocast too, compared with espret in
float32, and espret under autocast with the peers in float32. Peers that are not installed are left out and named.

cnn14 is panns_inference's; cnn10 is put together of its blocks, as audioset_tagging_cnn has it. hear21passt's PaSST
comes with its front end. torchvggish's front end is numpy's, its network torch's.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.util
import sys
import tempfile
import types
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
import turns
from torch import Tensor, nn

from espret.audio import FRONTENDS
from espret.config import build

PANNS = {"n_fft": 1024, "hop_length": 320}
LOW = ", bfloat16"
MELS = {"sr": 32000, "n_fft": 1024, "n_mels": 64, "fmin": 50, "fmax": 14000}


class Peer(NamedTuple):
    """The published network: `weights` is what espret's file holds, `run` goes from waveforms to vectors."""

    package: str
    weights: nn.Module
    run: Callable[[Tensor], Tensor]


def panns_models() -> types.ModuleType:
    """panns_inference.models without the package's first lines, which download a list of classes."""
    name = "panns_inference"
    if name not in sys.modules:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.submodule_search_locations is None:
            raise ModuleNotFoundError(name=name)
        package = types.ModuleType(name)
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules[name] = package
    return importlib.import_module(f"{name}.models")


def cnn14() -> Peer:
    network = panns_models().Cnn14(32000, 1024, 320, 64, 50, 14000, 527)
    return Peer("panns-inference", network, lambda waves: network(waves)["embedding"])


def cnn10() -> Peer:
    network = _cnn10(panns_models())
    return Peer("panns-inference", network, network)


def _cnn10(models: types.ModuleType) -> nn.Module:
    """CNN10 in the manner of CNN14: four blocks, each of which pools."""

    class Cnn10(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.spectrogram_extractor = models.Spectrogram(**PANNS)
            self.logmel_extractor = models.LogmelFilterBank(**MELS, amin=1e-10, top_db=None)
            self.bn0 = nn.BatchNorm2d(64)
            for number, widths in enumerate([(1, 64), (64, 128), (128, 256), (256, 512)], 1):
                self.add_module(f"conv_block{number}", models.ConvBlock(*widths))
            self.fc1 = nn.Linear(512, 512)
            self.fc_audioset = nn.Linear(512, 527)

        def forward(self, waves: Tensor) -> Tensor:
            x = self.logmel_extractor(self.spectrogram_extractor(waves))
            x = self.bn0(x.transpose(1, 3)).transpose(1, 3)
            for number in range(1, 5):
                x = self.get_submodule(f"conv_block{number}")(x, pool_size=(2, 2), pool_type="avg")
            x = x.mean(dim=3)
            return F.relu_(self.fc1(x.amax(dim=2) + x.mean(dim=2)))

    return Cnn10()


def passt(arch: str, stride: int) -> Peer:
    from hear21passt.models.passt import get_model
    from hear21passt.models.preprocess import AugmentMelSTFT

    with redirect_stdout(None):
        network = get_model(arch, pretrained=False, fstride=stride, tstride=stride)
    front = AugmentMelSTFT(fmin_aug_range=10, fmax_aug_range=2000, fmax=15000).eval()

    def run(waves: Tensor) -> Tensor:
        with redirect_stdout(None):  # it tells all its shapes
            _, features = network(front.to(waves.device)(waves)[:, None])
        return features

    return Peer("hear21passt", network, run)


def vggish() -> Peer:
    from torchvggish.torchvggish import VGG, make_layers
    from torchvggish.vggish_input import waveform_to_examples

    network = VGG(make_layers(), postprocess=False)

    def run(waves: Tensor) -> Tensor:
        clips = waves.double().cpu().numpy()
        patches = torch.cat([waveform_to_examples(clip, 16000).detach() for clip in clips])
        return network(patches.to(waves.device)).unflatten(0, (len(waves), -1))

    return Peer("torchvggish", network, run)


class Network(NamedTuple):
    rate: int
    output: str
    peer: Callable[[], Peer]


NETWORKS = {
    "cnn10": Network(32000, "embedding", cnn10),
    "cnn14": Network(32000, "embedding", cnn14),
    "passt_n": Network(32000, "embedding", functools.partial(passt, "passt_s_p16_s16_128_ap468", 16)),
    "passt_s": Network(32000, "embedding", functools.partial(passt, "passt_s_kd_p16_128_ap486", 10)),
    "vggish": Network(16000, "embedding", vggish),
}


def made(name: str, peer: Peer | None, folder: Path, device: str) -> nn.Module:
    """espret's network, with the peer's weights where there is one."""
    checkpoint = "random"
    if peer is not None:
        checkpoint = str(folder / f"{name}.pt")
        torch.save(peer.weights.state_dict(), checkpoint)
    options = {"type": name, "output": NETWORKS[name].output, "checkpoint": checkpoint}
    network: nn.Module = build(FRONTENDS, options, sample_rate=NETWORKS[name].rate).eval().to(device)
    return network


def draw_norms(network: nn.Module) -> None:
    """Statistics and scales for the norms that start as the identity, with which an error in them would not show."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
        if isinstance(module, (nn.BatchNorm2d, nn.LayerNorm)):
            nn.init.normal_(module.weight, 1, 0.1)
            nn.init.normal_(module.bias, 0, 0.1)


def contestants(name: str, ours: nn.Module, peers: Iterable[Peer], waves: Tensor, low: bool) -> list[turns.Contestant]:
    """espret, the peers, and both under autocast where `low`."""
    runs = {"espret": functools.partial(ours, waves)}
    for peer in peers:
        runs[turns.version(peer.package)] = functools.partial(peer.run, waves)
    shape = (len(waves), -1)

    def autocast(run: Callable[[], Any]) -> Any:
        with torch.autocast(waves.device.type, torch.bfloat16):
            return run()

    if low:
        runs.update({f"{who}{LOW}": functools.partial(autocast, run) for who, run in list(runs.items())})
    return [turns.Contestant(who, run, lambda found: found.reshape(shape)) for who, run in runs.items()]


def print_low(racing: list[turns.Contestant]) -> None:
    """espret under autocast against the peers in float32."""
    low = next(contestant for contestant in racing if contestant.name == f"espret{LOW}")
    for contestant in racing:
        if not contestant.name.startswith("espret") and not contestant.name.endswith(LOW):
            print(f"    {low.name}: {turns.ratio(low, contestant):.2f} times as fast as {contestant.name} in float32")


def bench(name: str, options: argparse.Namespace, absent: dict[str, str]) -> list[str]:
    """One network at all batch sizes; returns the peers that are faster."""
    torch.manual_seed(0)
    slower = []
    with tempfile.TemporaryDirectory() as folder:
        peers = turns.present([NETWORKS[name].peer], absent)
        for peer in peers:
            draw_norms(peer.weights.requires_grad_(False))
            peer.weights.eval().to(options.device)
        ours = made(name, next(iter(peers), None), Path(folder), options.device)
        for clips in options.batch:
            waves = turns.waves(clips, NETWORKS[name].rate, options.device)
            racing = contestants(name, ours, peers, waves, options.bfloat16)
            slower += turns.compare(name, racing, clips, options)
            if options.bfloat16:
                print_low(racing)
    return slower


def main() -> None:
    parser = turns.parser(__doc__, NETWORKS)
    parser.add_argument("--bfloat16", action="store_true", help="all of them under autocast, too")
    options = parser.parse_args()
    turns.prepare(options)
    absent: dict[str, str] = {}
    slower = [line for name in turns.chosen(options, list(NETWORKS)) for line in bench(name, options, absent)]
    turns.report(slower, absent)


if __name__ == "__main__":
    main()
