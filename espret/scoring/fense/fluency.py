"""FER, fluency error rate: how many candidates have an error of fluency, the second part of FENSE (Zhou et al. 2022).

The network is espret.scoring.fense.detector; it is installed by espret.scoring.fense.install.
"""

from __future__ import annotations

import sys
from pathlib import Path

from espret.errors import EspretError
from espret.files import sha256_file
from espret.scoring.fense import install as fense_install
from espret.scoring.fense.sbert import need_transformers
from espret.scoring.metric import Captions, Metric, Result, Unavailable, mean

THRESHOLD = 0.9  # a candidate whose probability of an error is above it has one


class Fluency(Metric):
    """FER of tokenised captions, as in aac-metrics and the DCASE challenges. Items have the probability of each class
    of errors too, as `FER.<class>_prob`; `FER.error_prob` is that of any error."""

    names: tuple[str, ...] = ("FER",)

    def score(self, captions: Captions) -> Result:
        """1 for every item with an error and 0 for every other, and their mean. Raises Unavailable, and EspretError for
        a file that is not a detector."""
        texts = self.texts(captions)
        file = _file(self.settings.fluency)
        from espret.scoring.fense.detector import CLASSES, load

        distinct = list(dict.fromkeys(texts))
        found = load(file, fense_install.home(), self.settings.device).probabilities(distinct)
        rows = dict(zip(distinct, found.tolist()))
        (name,) = self.names
        items = {f"{name}.{kind}_prob": [rows[text][i] for text in texts] for i, kind in enumerate(CLASSES)}
        items[name] = [float(probability > THRESHOLD) for probability in items[f"{name}.error_prob"]]
        return Result({name: mean(items[name])}, items)

    def texts(self, captions: Captions) -> list[str]:
        """Candidates as the metric reads them."""
        return captions.hyps


class FluencyRaw(Fluency):
    """FER of the captions as they were written, as in the original FENSE."""

    names = ("FER-raw",)

    def texts(self, captions: Captions) -> list[str]:
        """Candidates as the metric reads them."""
        return captions.raw_hyps


def _file(wanted: str | None) -> Path:
    """The detector's file; one that is named and not a published one is said to be so."""
    need_transformers()
    if wanted is None:
        if not fense_install.installed():
            raise Unavailable(f"the detector is not in {fense_install.detector_file()}; run {fense_install.COMMAND}")
        return fense_install.detector_file()
    file = Path(wanted)
    if not file.is_file():
        raise EspretError(f"--fluency {wanted}: no such file; the installed detector is used without --fluency")
    if f"sha256:{sha256_file(file)}" not in fense_install.PUBLISHED:
        print(f"warning: {file} is none of the published detectors; FER is that of this file", file=sys.stderr)
    return file
