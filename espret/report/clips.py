"""Clips for a page that is one file: a short MP3 and a picture of the spectrum, both as data URIs.

MP3 is the one compressed format that every browser plays and whose encoder writes the same bytes each time (an Ogg
stream carries a random serial number). Reading audio of any kind is `espret.data.audio`; this module only packs it.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field

import numpy as np
import soundfile
from matplotlib.image import imsave

from espret.data.audio import load_clip
from espret.data.datadir import DataDir, Source
from espret.errors import EspretError

RATE = 24000  # Hz; keeps what is below 12 kHz, at half the bytes of full quality
AS_THEY_ARE = (16000, 22050, 24000)  # rates that MP3 knows and that need no resampling
COMPRESSION = 0.8  # libsndfile's scale: 40 kbit/s at these rates
SECONDS = 10.0  # longer clips are cut
BANDS, COLUMNS = 40, 220  # size of the picture, in pixels
LOWEST_HZ, DECIBELS = 60.0, 60.0  # lower edge of the picture's frequencies; range from its brightest to its darkest
LEVELS = 15  # shades in the picture: enough to read, and they compress


@dataclass(frozen=True)
class Clip:
    """What the page shows of one clip: `audio` and `image` are data URIs, both empty where `problem` says why."""

    utt: str
    seconds: float = 0.0
    cut: bool = False
    audio: str = ""
    image: str = ""
    problem: str = ""


@dataclass
class Clips:
    """Packs clips until the page would hold more than `limit` bytes of them; later ones say so instead.

    A clip that cannot be read (no file, not audio) becomes a Clip whose `problem` tells; nothing is raised.
    """

    limit: int
    used: int = 0
    _known: dict[tuple[str, Source], Clip] = field(default_factory=dict)

    def pack(self, data: DataDir, utt: str) -> Clip:
        """The clip `utt` of a data directory."""
        try:
            source = data.source(utt)
        except EspretError as error:
            return Clip(utt, problem=str(error))
        if self.used >= self.limit:
            return Clip(utt, problem="not included: the report's limit of audio is reached (espret report --audio-mb)")
        begin = source.start or 0.0
        seconds = source.end - begin if source.end is not None else data.utt2dur.get(utt, SECONDS)
        rate = data.utt2sr.get(utt, RATE)
        key = (utt, source)
        if key not in self._known:
            self._known[key] = _pack(utt, source.path, begin, seconds, rate if rate in AS_THEY_ARE else RATE)
        self.used += len(self._known[key].audio) + len(self._known[key].image)
        return self._known[key]


def _pack(utt: str, path: str, begin: float, seconds: float, rate: int) -> Clip:
    try:
        samples = load_clip(path, rate, begin, begin + min(seconds, SECONDS))
        return Clip(utt, len(samples) / rate, seconds > SECONDS, _mp3(samples, rate), _picture(samples, rate))
    except EspretError as error:
        return Clip(utt, problem=f"cannot be played: {error}")
    except (OSError, RuntimeError) as error:  # libsndfile's errors are RuntimeErrors, and do not name the file
        return Clip(utt, problem=f"cannot be played: {path}: {error}")


def _mp3(samples: np.ndarray, rate: int) -> str:
    """float32 [samples] as an MP3 data URI; samples beyond full scale are clipped, as a sound card would."""
    buffer = io.BytesIO()
    clipped = np.clip(samples, -1.0, 1.0)
    soundfile.write(buffer, clipped, rate, format="MP3", bitrate_mode="CONSTANT", compression_level=COMPRESSION)
    return f"data:audio/mpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _picture(samples: np.ndarray, rate: int) -> str:
    """The spectrum over time as a PNG data URI that is transparent where there is no energy.

    Only the alpha channel says anything, so that the page can colour it as a mask, in its light and dark dress.
    """
    level = spectrum(samples, rate)
    pixels = np.zeros((*level.shape, 4))
    pixels[..., 3] = np.round(level * LEVELS) / LEVELS
    buffer = io.BytesIO()
    imsave(buffer, pixels, format="png", pil_kwargs={"optimize": True})
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def spectrum(samples: np.ndarray, rate: int) -> np.ndarray:
    """Power in BANDS logarithmically spaced bands (highest first) by COLUMNS frames, scaled to 0..1 over DECIBELS.

    Args: samples: float32 [samples]; rate: in Hz. Returns float64 [BANDS, COLUMNS]; all 0 for silence.
    """
    window = 1024
    padded = np.pad(samples.astype(np.float64), (window // 2, window // 2 + 1))
    starts = np.linspace(0, len(padded) - window - 1, COLUMNS).astype(int)
    frames = padded[starts[:, None] + np.arange(window)] * np.hanning(window)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    edges = np.geomspace(LOWEST_HZ, rate / 2, BANDS + 1) * window / rate
    bands = [power[:, int(lo) : max(int(hi), int(lo) + 1)].mean(axis=1) for lo, hi in zip(edges, edges[1:])]
    decibels = 10 * np.log10(np.stack(bands[::-1]) + 1e-10)
    peak = decibels.max()
    if peak <= -100 + 1e-6:
        return np.zeros_like(decibels)
    return np.clip(1 + (decibels - peak) / DECIBELS, 0.0, 1.0)
