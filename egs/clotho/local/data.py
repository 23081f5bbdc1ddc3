"""Clotho, and WavCaps without what it shares with Clotho as further training data.

Clotho is from Drossos, Lipping and Virtanen, "Clotho: an Audio Captioning Dataset" (ICASSP 2020): sounds of Freesound
cut to 15-30 s, with five captions of 8-20 words each that Amazon Mechanical Turk workers wrote from the sound alone.

Versions. v2.1 (2021, Zenodo record 4783391) is the default and what papers since then use: development, validation and
evaluation splits of 3,839, 1,045 and 1,045 clips, here called train, valid and test (texts that say 3,840 and 1,046 are
off by one). v2 (record 4743815) is the same with some 150 damaged sound files. v1 (2019, record 3490684) has 2,893
development clips, the same evaluation split and no validation split; papers on it divided the 2,893 into 2,314 and 579
at random and did not publish how, so that `--variant v1` gives a division of espret's own: results on its test set are
comparable, those on its validation set are not.

Further captions. `--train-set train_gpt` adds to each of the five captions of a training clip five variations that a
GPT model wrote from the caption and the clip's keywords (ClothoV2_GPT, Primus et al., DCASE 2023).

Overlaps. Most of Clotho's recordings are also in WavCaps (89 %), some in FSD50K and ESC-50: `wavcaps` here leaves out
every recording of Clotho; stage 0 checks the sets that you train and test on for common Freesound ids.

Licences. Captions: Tampere University's, for non-commercial use with attribution. Sounds: each has a Creative Commons
licence, named in the metadata files.
"""

from espret.data.corpora.clotho import Clotho
from espret.data.corpora.wavcaps import WavCaps

CORPORA = [clotho := Clotho(), WavCaps(without=clotho)]
