"""The corpora of this recipe: AudioCaps and, for more training data, WavCaps.

AudioCaps has a caption for each training clip and five for each of validation and test. Its captions are downloaded;
its sound you bring: a folder of files (--audio-dir), archives of them (--archives), or YouTube (--youtube true, with
yt-dlp and ffmpeg). Splits are train, valid and test. Say which captions by --variant (v1, v1-fixed, v2) and which clips
by the name of a split: test_ac957 has the 957 clips that were left to the authors of WavCaps. The module
espret.data.corpora.audiocaps tells what the variants are.

WavCaps is one split, wavcaps, a training set: --train-set train+wavcaps. Its clips that are also in AudioCaps are left
out of it.
"""

from espret.data.corpora.audiocaps import AudioCaps
from espret.data.corpora.wavcaps import WavCaps

CORPORA = [audiocaps := AudioCaps(), WavCaps(without=audiocaps)]
