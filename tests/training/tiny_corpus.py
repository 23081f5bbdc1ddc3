"""A tiny corpus with features and a tokenizer: a clip's mean features say which word its captions hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
import yaml

from espret.data.datadir import DataDir
from espret.files import write_json, write_text
from espret.text.prepare import prepare_text

WORDS = ("rain", "dog", "bell", "siren")
DIM = 6


def make_split(root: Path, name: str, clips: int) -> None:
    """Data directory and features `root/data/<name>`, `root/feats/<name>`."""
    rng = np.random.default_rng([clips, 1])
    data, feats = DataDir(wav_scp={}), {}
    for number in range(clips):
        utt, word = f"{name}-{number:03d}", number % len(WORDS)
        data.wav_scp[utt] = f"audio/{utt}.wav"
        data.utt2dur[utt], data.utt2sr[utt] = 1.0, 16000
        data.utt2cap[utt] = [f"{utt}-{k}" for k in (1, 2)]
        for cap, words in zip(data.utt2cap[utt], (f"a {WORDS[word]}", f"the {WORDS[word]} sounds again")):
            data.text[cap], data.cap2utt[cap] = words, utt
        matrix = rng.normal(size=(int(rng.integers(9, 21)), DIM)) + 2 * np.eye(DIM)[word]
        feats[utt] = matrix.astype(np.float32)
    data.write(root / "data" / name)
    folder = root / "feats" / name
    folder.mkdir(parents=True)
    kaldiio.save_ark(str(folder / "feats.1.ark"), feats, scp=str(folder / "feats.scp"))
    write_text(folder / "utt2num_frames", "".join(f"{utt} {len(matrix)}\n" for utt, matrix in feats.items()))
    write_json(folder / "about.json", {"dim": DIM, "hop_seconds": 0.02, "sample_rate": 16000})


def make_corpus(root: Path) -> Path:
    """Splits train and valid, and the tokenizer `root/text`; returns `root`."""
    make_split(root, "train", 23)
    make_split(root, "valid", 8)
    prepare_text({"type": "word"}, root / "data/train", root / "text")
    return root


def system(task: str, **train: Any) -> dict[str, Any]:
    """A system file's content: dropout and augmentation, so that random numbers matter."""
    audio = {"type": "conv", "channels": [4, 8], "dropout": 0.1}
    models = {
        "retrieval": {
            "type": "dual_encoder",
            "audio": audio,
            "pooling": {"type": "attention"},
            "text": {"type": "words", "dim": 8, "dropout": 0.1},
            "loss": {"type": "nt_xent", "learnable": True},
            "embedding": 8,
        },
        "captioning": {
            "type": "captioner",
            "audio": audio,
            "adapter": {"type": "mlp", "dim": 8, "hidden": 8},
            "decoder": {"type": "transformer", "dim": 8, "heads": 2, "layers": 1, "feedforward": 16},
        },
    }
    options = {
        "epochs": 4,
        "batch_size": 6,
        "optimizer": {"type": "adamw", "lr": 0.01},
        "schedule": {"type": "cosine", "warmup": 1},
        "grad_clip": 1.0,
        "augment": [{"type": "spec_augment", "time_width": 3, "mel_width": 2}],
        "threads": 1,
        **train,
    }
    return {
        "features": {"name": "f", "frontend": {"type": "logmel"}},
        "text": {"name": "w", "tokenizer": {"type": "word"}},
        "model": models[task],
        "train": options,
        "decode": {"beam": 2, "nbest": 2, "max_length": 5} if task == "captioning" else {},
    }


def train_arguments(corpus: Path, out: Path, task: str, content: dict[str, Any], *more: str) -> list[str]:
    """The words after `espret` that train the system `content` to folder `out`."""
    config = out.parent / f"{out.name}.yaml"
    config.write_text(yaml.safe_dump(content))
    words = ["train", "--task", task, "--config", str(config), "--text", str(corpus / "text"), "--out", str(out)]
    for split in ("train", "valid"):
        words += [f"--{split}-data", str(corpus / "data" / split), f"--{split}-feats", str(corpus / "feats" / split)]
    return [*words, *more]
