"""What tools/bench/train.py trains: systems at two sizes, and a generated corpus for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
import plain
import torch

from espret.data.datadir import DataDir
from espret.files import write_json, write_text
from espret.text.prepare import load_tokenizer, prepare_text
from espret.training.data import Split

NAMES = ("cnn14", "passt", "captioning")
BERT: dict[str, dict[str, Any]] = {
    "real": {"vocab_size": 30522},
    "small": {"vocab_size": 30522, "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
              "intermediate_size": 512},
}  # fmt: skip
ADAPTER = {"type": "mlp", "dim": 128, "hidden": 256}
DECODER = {"type": "transformer", "dim": 128, "heads": 4, "layers": 3, "feedforward": 128, "dropout": 0.25}


@dataclass
class Case:
    """A system at a size: `frames` are the fewest and the most of a clip."""

    dim: int
    frames: tuple[int, int]
    batch: int
    model: dict[str, Any]
    plain: Callable[[int], torch.nn.Module]
    optimizer: dict[str, Any]


def retrieval(size: str, dim: int, frames: int, batch: int, audio: dict[str, Any], tower: Callable[[], Any]) -> Case:
    text = {"type": "huggingface", "model": "bert-base-uncased", "architecture": {"model_type": "bert", **BERT[size]}}
    model = {
        "type": "dual_encoder",
        "audio": {**audio, "checkpoint": "random"},
        "pooling": {"type": "meanmax" if audio["type"] == "panns" else "mean"},
        "text": text,
        "loss": {"type": "nt_xent", "learnable": True},
        "embedding": 1024,
    }
    made = lambda _vocabulary: plain.Retrieval(tower(), BERT[size], 1024)  # noqa: E731
    return Case(dim, (frames, frames), batch, model, made, {"type": "adamw", "lr": 2e-5})


def case(name: str, size: str) -> Case:
    """Clips of 10 s, as AudioCaps has them; for captions 15 to 30 s, as Clotho, in PANNs' frames."""
    real = size == "real"
    if name == "cnn14":
        frames, batch = (1000, 32) if real else (200, 4)
        widths, pools = ((64, 128, 256, 512, 1024, 2048), 5) if real else ((64, 128, 256, 512), 4)
        audio = {"type": "panns", "variant": "cnn14" if real else "cnn10", "spec_augment": False}
        return retrieval(size, 64, frames, batch, audio, lambda: plain.Conv(widths, pools))
    if name == "passt":
        frames, batch, (variant, stride, depth), patchout = (
            (1000, 32, ("passt_n", 16, 12), (2, 15)) if real else (200, 2, ("passt_l", 10, 7), (4, 80))
        )
        audio = {"type": "passt", "variant": variant, "patchout_f": patchout[0], "patchout_t": patchout[1]}
        audio |= {"freqm": 0, "timem": 0}
        return retrieval(size, 128, frames, batch, audio, lambda: plain.Passt(stride, depth, patchout))
    model = {"type": "captioner", "audio": {"type": "identity"}, "adapter": ADAPTER, "decoder": DECODER}
    made = lambda vocabulary: plain.Captioner(2048, vocabulary, ADAPTER, DECODER)  # noqa: E731
    return Case(2048, (46, 93), 256 if real else 32, model, made, {"type": "adam", "lr": 1e-3})


def make(folder: Path, one: Case, clips: int) -> Split:
    """A corpus: features in an ark, a caption of 8 to 15 words a clip, its words as tokens."""
    rng = np.random.default_rng(0)
    utts = [f"clip{number:05d}" for number in range(clips)]
    words = [" ".join(f"w{word}" for word in rng.integers(0, 4366, rng.integers(8, 16))) for _ in utts]
    text = {f"{utt}-1": caption for utt, caption in zip(utts, words)}
    data = DataDir(
        wav_scp={utt: f"audio/{utt}.wav" for utt in utts},
        text=text,
        cap2utt={caption: caption[:-2] for caption in text},
        utt2cap={utt: [f"{utt}-1"] for utt in utts},
    )
    data.write(folder / "data")
    frames = {utt: int(rng.integers(one.frames[0], one.frames[1] + 1)) for utt in utts}
    feats = folder / "feats"
    feats.mkdir()
    matrices = {utt: rng.standard_normal((frames[utt], one.dim), np.float32) for utt in utts}
    kaldiio.save_ark(str(feats / "feats.ark"), matrices, scp=str(feats / "feats.scp"))
    write_text(feats / "utt2num_frames", "".join(f"{utt} {number}\n" for utt, number in frames.items()))
    write_json(feats / "about.json", {"dim": one.dim, "hop_seconds": 0.01, "sample_rate": 32000})
    prepare_text({"type": "word"}, folder / "data", folder / "text")
    return Split(folder / "data", feats, load_tokenizer(folder / "text"), cache_gb=0)
