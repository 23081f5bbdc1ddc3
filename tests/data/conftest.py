"""Generated sound files and data directories for the tests of stage 0."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espret.data.datadir import DataDir

# What file names may hold: everything but line ends.
ODD_NAMES = [
    "plain",
    "two  blanks",
    'it\'s "quoted"',
    "-dash",
    "semi;colon & $(x) `y`",
    "Möwe – 海鷗",
    "100% |pipe| x",
    " lead",
]


def tone(seconds: float, rate: int, channels: int = 1, hertz: float = 440.0) -> np.ndarray:
    """A sine of amplitude 0.5, the same in all channels: float32 [samples, channels]."""
    times = np.arange(round(seconds * rate)) / rate
    return np.repeat((0.5 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)[:, None], channels, axis=1)


@pytest.fixture
def write_tone(tmp_path: Path) -> Callable[..., Path]:
    """write_tone(name, seconds=0.5, rate=16000, channels=1, **soundfile options) -> path in tmp_path."""

    def write(name: str, seconds: float = 0.5, rate: int = 16000, channels: int = 1, **options: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(seconds, rate, channels), rate, **options)
        return path

    return write


@pytest.fixture
def sound_dir(tmp_path: Path) -> Path:
    """A sound data directory of four utterances with five captions each (without the audio)."""
    utts = [f"u{i}" for i in range(4)]
    caps = {f"{utt}-{k}": utt for utt in utts for k in range(1, 6)}
    directory = DataDir(
        wav_scp={utt: f"audio/{name}.wav" for utt, name in zip(utts, ODD_NAMES)},
        utt2dur={utt: 1.5 + i for i, utt in enumerate(utts)},
        utt2sr=dict.fromkeys(utts, 16000),
        text={cap: f"a dog barks {cap}" for cap in caps},
        cap2utt=caps,
        utt2cap={utt: [cap for cap in caps if caps[cap] == utt] for utt in utts},
    )
    directory.about = {"corpus": "test", "split": "data", "variant": "", **directory.counts()}
    directory.write(tmp_path / "the data")
    return tmp_path / "the data"


@pytest.fixture
def odd_names() -> list[str]:
    return ODD_NAMES
