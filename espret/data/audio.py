"""Reading sound files: any rate, channel count and format that libsndfile knows (wav, flac, ogg, mp3, ...).

`probe` reads the header, `read_audio` samples as they are, `load_clip` what a front end wants (mono, one rate), and
`check_clip` decodes everything and says what is wrong. torch is imported only for resampling.
"""

from __future__ import annotations

import functools
import math
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from espret.data.truncation import missing_end
from espret.errors import EspretError

if TYPE_CHECKING:
    import torch

Samples = NDArray[np.float32]
BLOCK = 1 << 18  # frames decoded at a time: memory stays bounded however long the file is
PREROLL = 32 * 1152  # an mp3 frame may need bytes of some 20 before it, which a seek to it does not fetch
STRETCH = 1 << 20  # samples resampled at a time
CHANNELS = 16  # output samples that one step of the resampling convolution makes, or more
ZEROS, ROLLOFF = 64, 0.9475937167399596  # of the resampling filter
SILENT = "digital silence: every sample is 0"
UNKNOWN = 1 << 62  # libsndfile's frame count for a stream whose header gives none is about 2**63


class AudioInfo(NamedTuple):
    """What a sound file's header says: frames (samples of each channel), sample rate in Hz, channels."""

    frames: int
    sample_rate: int
    channels: int


class AudioError(EspretError):
    """A sound file that cannot be used; `reason` is what data_issues.tsv says of it."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}")
        self.reason = reason


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[soundfile.SoundFile]:
    """The open file; every way in which it may fail to be audio, in opening or in reading, becomes an AudioError."""
    try:
        status = os.stat(path)
    except OSError as error:
        missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
        raise AudioError(path, "missing" if missing else f"cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise AudioError(path, "not audio: not a regular file")
    if status.st_size == 0:
        raise AudioError(path, "empty: a file of 0 bytes")
    if not os.access(path, os.R_OK):
        raise AudioError(path, "cannot be read: Permission denied")
    try:
        with soundfile.SoundFile(os.fsencode(os.path.abspath(path))) as stream:
            if stream.frames >= UNKNOWN:  # libsndfile then fails at the end instead of stopping
                raise AudioError(path, "its header gives no length (a flac written to a pipe); encode it again")
            yield stream
    except soundfile.LibsndfileError as error:
        reason = missing_end(path, 0) or f"not audio: {error.error_string or 'cannot be decoded'}"
        raise AudioError(path, reason) from None
    except TypeError:  # soundfile takes *.raw for headerless samples and asks for their format
        raise AudioError(path, "not audio: headerless samples (.raw)") from None


def probe(path: str | os.PathLike[str]) -> AudioInfo:
    """The header of a sound file. Raises AudioError ("missing", "empty: ...", "not audio: ...")."""
    with _opened(path) as stream:
        info = AudioInfo(stream.frames, stream.samplerate, stream.channels)
    if info.frames == 0:
        raise AudioError(path, missing_end(path, 0) or "empty: 0 frames")
    return info


def read_audio(
    path: str | os.PathLike[str], start: float | None = None, end: float | None = None
) -> tuple[Samples, int]:
    """Samples between `start` and `end` seconds (all by default) as float32 [samples, channels], and the sample rate.

    Raises AudioError where the file is not audio or holds fewer samples than asked for.
    """
    with _opened(path) as stream:
        return _read(path, stream, start, end, lambda block: block), stream.samplerate


def load_clip(
    path: str | os.PathLike[str], sample_rate: int, start: float | None = None, end: float | None = None
) -> Samples:
    """Samples between `start` and `end` seconds, the mean of the channels, at `sample_rate` Hz: float32 [samples].

    Raises AudioError as `read_audio` does.
    """
    with _opened(path) as stream:
        mono = _read(path, stream, start, end, lambda block: block.mean(axis=1))
        rate = stream.samplerate
    return mono if rate == sample_rate else resample(mono, rate, sample_rate)


def _read(
    path: str | os.PathLike[str],
    stream: soundfile.SoundFile,
    start: float | None,
    end: float | None,
    convert: Callable[[Samples], Samples],
) -> Samples:
    """The blocks between two times, each converted, as one array."""
    rate = stream.samplerate
    first = round((start or 0.0) * rate)
    last = None if end is None else round(end * rate)
    if first and first >= stream.frames:
        raise AudioError(path, f"ends at {stream.frames / rate:.3f} s, before the segment's start {start:.3f} s")
    blocks = [convert(block) for block in _blocks(path, stream, first, last)]
    if not blocks:
        raise AudioError(path, "empty: 0 frames")
    return np.concatenate(blocks)


def _blocks(
    path: str | os.PathLike[str], stream: soundfile.SoundFile, first: int = 0, last: int | None = None
) -> Iterator[Samples]:
    """Decoded blocks [<= BLOCK, channels] of the frames first..last-1, or up to the end.

    soundfile seeks after every read, and an mp3 decoder is wrong for some frames after a seek: these are decoded anew
    and thrown away. A decoder that loses its way after some frames is a truncated file.
    """
    position = first
    while last is None or position < last:
        before = min(position, PREROLL) if stream.format == "MP3" else 0
        wanted = BLOCK if last is None else min(BLOCK, last - position)
        try:
            if before or (first and position == first):
                stream.seek(position - before)
            block = stream.read(before + wanted, dtype="float32", always_2d=True)[before:]
        except soundfile.LibsndfileError:
            reason = f"truncated: header says {stream.frames} frames, decoding fails after {position}"
            raise AudioError(path, reason) from None
        if len(block) == 0:
            return
        position += len(block)
        yield block


def resample(samples: Samples, source: int, target: int) -> Samples:
    """`samples` [n] from `source` to `target` Hz by windowed-sinc interpolation: float32 [n * target / source], n > 0.

    The filter is torchaudio's counterpart of resampy's "kaiser_best" (64 zero crossings, roll-off 0.9476, Kaiser
    window). For rates with almost no common divisor its table of coefficients would take gigabytes; scipy's polyphase
    filter, which needs no table, takes these.
    """
    common = math.gcd(source, target)
    up, down = target // common, source // common
    if up * (down + 136 * max(1, down // up)) > 1 << 25:
        from scipy.signal import resample_poly

        return np.asarray(resample_poly(samples, up, down, window=("kaiser", 14.77)), dtype=np.float32)
    step = max(1, STRETCH // down) * down  # a stretch starts where input and output samples coincide
    reach = (math.ceil(ZEROS * down / (ROLLOFF * min(up, down))) // down + 2) * down
    parts = []
    for start in range(0, len(samples), step):
        first = max(0, start - reach)
        part = _resampled(samples[first : start + step + reach], source, target)
        skip = (start - first) // down * up
        parts.append(part[skip : skip + step // down * up] if start + step < len(samples) else part[skip:])
    return np.concatenate(parts)


def _resampled(samples: Samples, source: int, target: int) -> Samples:
    import torch

    with torch.inference_mode():
        return np.asarray(_resampler(source, target)(torch.from_numpy(samples)).numpy(), dtype=np.float32)


@functools.lru_cache(maxsize=8)
def _resampler(source: int, target: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """torchaudio's filter as a function of samples [n], which makes the outputs of several periods at a time.

    A period is `up` outputs, one from 48 to 16 kHz: a convolution with so few channels takes ten times as long as one
    with 16, whose filters are the same ones, shifted.
    """
    import torch
    from torchaudio.transforms import Resample

    common = math.gcd(source, target)
    up, down = target // common, source // common
    one = Resample(
        down,
        up,
        resampling_method="sinc_interp_kaiser",
        lowpass_filter_width=ZEROS,
        rolloff=ROLLOFF,
        beta=14.769656459379492,
    )
    periods = -(-CHANNELS // up)
    taps = one.kernel.shape[-1]
    filters = torch.zeros(periods, up, 1, taps + (periods - 1) * down)
    for number, shifted in enumerate(filters):
        shifted[..., number * down : number * down + taps] = one.kernel
    filters = filters.flatten(0, 1)

    def convolve(samples: torch.Tensor) -> torch.Tensor:
        padded = torch.nn.functional.pad(samples, (one.width, one.width + periods * down))
        outputs = torch.nn.functional.conv1d(padded[None], filters, stride=periods * down)
        return outputs.T.flatten()[: -(-len(samples) * up // down)]

    return convolve


class Inspected(NamedTuple):
    """Why a sound file cannot be used, or None; and what is odd about one that can, or None."""

    reason: str | None
    remark: str | None = None


def check_clip(path: str | os.PathLike[str]) -> str | None:
    """Decode a whole sound file; why it cannot be used, or None where it can."""
    return inspect_clip(path).reason


def inspect_clip(path: str | os.PathLike[str]) -> Inspected:
    """Decode a whole sound file and say what is wrong with it. The remark is SILENT or none.

    Reasons: "missing", "empty: ...", "not audio: ...", "cannot be read: ...", "truncated: header says N frames, M
    decoded" (or what shows that the end is missing, where the header gives no length), "NaN or infinite samples".
    """
    decoded = 0
    finite, silent = True, True
    try:
        with _opened(path) as stream:
            for block in _blocks(path, stream):
                decoded += len(block)
                finite = finite and bool(np.isfinite(block).all())
                silent = silent and not block.any()
            frames = stream.frames
    except AudioError as error:
        return Inspected(error.reason)
    if 0 < decoded < frames:
        return Inspected(f"truncated: header says {frames} frames, {decoded} decoded")
    ending = missing_end(path, decoded)
    if ending:
        return Inspected(ending)
    if decoded == 0:
        return Inspected("empty: 0 frames")
    if not finite:
        return Inspected("NaN or infinite samples")
    return Inspected(None, SILENT if silent else None)
