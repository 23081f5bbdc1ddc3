"""Stage 6: a trained system as one archive, and using it anywhere on audio files.

packed = load("packed/mini_captioning_mini_seed1.zip")
packed.caption(["a.wav", "b.mp3"])
"""

from espret.packing.pack import pack
from espret.packing.packed import PackedCaptioner, PackedRetriever, load

__all__ = ["PackedCaptioner", "PackedRetriever", "load", "pack"]
