"""What the verbs of stage 4 share: their options, and loading the trained system and the split that these name.

Imports torch only when something is loaded: `espret caption --help` needs none.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from espret.bin import parser
from espret.config import check, load_system

if TYPE_CHECKING:
    import torch

    from espret.text.tokenizers import Tokenizer
    from espret.training.data import Split


@dataclass
class Loaded:
    """`decode` is the decode section as the class that was asked for."""

    network: Any
    split: Split
    tokenizer: Tokenizer
    decode: Any
    device: torch.device


def decoding_parser(verb: str, doc: str | None) -> argparse.ArgumentParser:
    """A verb's parser with the options that `load` reads."""
    options = parser(verb, doc)
    options.add_argument("--exp", required=True, help="experiment folder (stage 3)")
    options.add_argument("--config", help="system file whose decode section is used (default: the experiment's)")
    options.add_argument("--data", required=True, help="data directory to decode")
    options.add_argument("--feats", required=True, help="its features (stage 1)")
    options.add_argument("--text", required=True, help="tokenizer folder (stage 2)")
    options.add_argument("--ngpu", type=int, default=0, help="0: CPU (default), 1: GPU")
    return options


def load(args: argparse.Namespace, section: type, captions: bool) -> Loaded:
    """What the options name, with the decode section checked against `section`; `captions`: those of the split too.

    Raises EspretError where the parts do not fit together.
    """
    from espret.decoding.network import load_network
    from espret.text.prepare import load_tokenizer
    from espret.training.data import Split
    from espret.training.distributed import choose_device

    device, tokenizer = choose_device(args.ngpu), load_tokenizer(args.text)
    split = Split(args.data, args.feats, tokenizer if captions else None)
    network, system = load_network(args.exp, split.dim, len(tokenizer), device)
    if args.config:
        system = load_system(args.config)
    decode = check(section, system.decode, f"{args.config or args.exp}: decode")
    return Loaded(network, split, tokenizer, decode, device)
