"""Whether the end of a sound file is missing, by what its container says.

libsndfile trusts the file's length over the header's for wav, aiff, au and ogg, so a half download decodes without an
error. Here the containers' own words are read: chunk sizes (RIFF/RF64, AIFF, AU), the end-of-stream page (Ogg, RFC
3533), the length of the last frame (MPEG audio, ISO/IEC 11172-3). flac and mp3 with a Xing header give their length to
the decoder; `audio.check_clip` compares it with what was decoded.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator

UNSIZED = 0x7FFFF000  # sizes from here on are what streaming writers put where they could not seek back


def missing_end(path: str | os.PathLike[str], decoded: int) -> str | None:
    """`truncated: ...` where the container of a non-empty file promises more than there is, else None.

    `decoded` is the number of frames that could be decoded, for the message.
    """
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            promise = _promise(data)
        except (struct.error, IndexError):  # the container's own header is cut off
            promise = "the header is cut short"
    if promise is None:
        return None
    if isinstance(promise, str):
        return f"truncated: {promise}, {decoded} frames decoded"
    return f"truncated: header says {promise} frames, {decoded} decoded" if promise > decoded else None


def _promise(data: mmap.mmap) -> int | str | None:
    """The frames that the header promises, or a sentence on what is missing, or None where nothing is known."""
    magic = data[:4]
    if magic in (b"RIFF", b"RF64") and data[8:12] == b"WAVE":
        return _wav(data)
    if magic == b"FORM" and data[8:11] == b"AIF":
        return _aiff(data)
    if magic == b".snd":
        return _au(data)
    if magic == b"OggS":
        return _ogg(data)
    if magic[:3] == b"ID3" or (magic[0] == 0xFF and len(magic) == 4 and _mpeg_frame(magic)):
        return _mpeg(data)
    return None


def _chunks(data: mmap.mmap, order: str) -> Iterator[tuple[bytes, int, int]]:
    """(name, declared size, start of the content) of each chunk of an IFF-like file."""
    position = 12
    while position + 8 <= len(data):
        name = data[position : position + 4]
        (size,) = struct.unpack_from(order + "I", data, position + 4)
        yield name, size, position + 8
        position += 8 + size + size % 2


def _wav(data: mmap.mmap) -> int | str | None:
    tag, align, long_size = 0, 0, 0
    for name, declared, start in _chunks(data, "<"):
        size = declared
        if name == b"ds64":
            (long_size,) = struct.unpack_from("<Q", data, start + 8)
        elif name == b"fmt ":
            (tag,) = struct.unpack_from("<H", data, start)
            (align,) = struct.unpack_from("<H", data, start + 12)
        elif name == b"data":
            if size == 0xFFFFFFFF and long_size:
                size = long_size
            elif size >= UNSIZED and len(data) < UNSIZED:
                return None
            return _sized(size, len(data) - start, align if tag in (1, 3, 6, 7, 0xFFFE) else 0)
    return None


def _aiff(data: mmap.mmap) -> int | str | None:
    for name, size, start in _chunks(data, ">"):
        if name == b"SSND":
            return _sized(size, len(data) - start, 0)
    return None


def _au(data: mmap.mmap) -> int | str | None:
    start, size = struct.unpack_from(">II", data, 4)
    return None if size >= UNSIZED else _sized(size, len(data) - start, 0)


def _sized(declared: int, present: int, align: int) -> int | str | None:
    """What a chunk of `declared` bytes of samples promises where `present` bytes are left; `align` bytes a frame."""
    if declared - present < max(align, 1):
        return None
    return declared // align if align else f"header says {declared} bytes of samples, the file holds {present}"


def _ogg(data: mmap.mmap) -> str | None:
    start = data.rfind(b"OggS")
    kind, segments = data[start + 5], data[start + 26]
    table = data[start + 27 : start + 27 + segments]
    if len(table) < segments or start + 27 + segments + sum(table) > len(data):
        return "the last Ogg page is cut short"
    return None if kind & 4 else "the end-of-stream page is missing"


_BITRATES = {  # kbit/s by (MPEG-1?, layer)
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by the version's two bits


def _mpeg_frame(header: bytes) -> int:
    """Bytes of the MPEG audio frame that starts with these four; 0 where they start none (or one of free format)."""
    word = int.from_bytes(header, "big")
    version, layer = word >> 19 & 3, 4 - (word >> 17 & 3)
    bitrate, rate, padding = word >> 12 & 15, word >> 10 & 3, word >> 9 & 1
    if word >> 21 != 0x7FF or version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return 0
    kbits = _BITRATES[(version == 3, layer)][bitrate]
    hertz = _RATES[version][rate]
    if layer == 1:
        return (12000 * kbits // hertz + padding) * 4
    samples = 576 if layer == 3 and version != 3 else 1152
    return samples * 125 * kbits // hertz + padding


def _mpeg(data: mmap.mmap) -> str | None:
    """Walk the frames from the first on; a file whose last frame is whole, or where the walk is lost, passes."""
    position = 0
    while data[position : position + 3] == b"ID3":
        a, b, c, d = data[position + 6 : position + 10]
        position += 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if data[position + 5] & 16 else 0)
    if position >= len(data):
        return "nothing follows the ID3 tag"
    while position + 4 <= len(data):
        size = _mpeg_frame(data[position : position + 4])
        if not size:  # a tag at the end, or something that the decoder skips
            return None
        position += size
    return "the last mp3 frame is cut short" if position > len(data) else None
