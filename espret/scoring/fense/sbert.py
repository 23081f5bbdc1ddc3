"""SBERT: how like the candidate is to the references by Sentence-BERT, the first part of FENSE (Zhou et al. 2022).

The network is espret.scoring.fense.sentence_bert; it is installed by espret.scoring.fense.install.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from espret import mending
from espret.errors import EspretError
from espret.scoring.fense import install as fense_install
from espret.scoring.metric import Captions, Metric, Result, Unavailable, mean


class Sbert(Metric):
    """Mean over the references of the cosine between the embeddings of candidate and reference, of tokenised captions,
    as in aac-metrics and the DCASE challenges."""

    names: tuple[str, ...] = ("SBERT",)

    def score(self, captions: Captions) -> Result:
        """The similarity of every item, in -1..1, and their mean. Raises Unavailable, and EspretError for a folder that
        is not a Sentence-BERT model."""
        hyps, refs = self.texts(captions)
        folder = _folder(self.settings.sbert)
        from espret.scoring.fense.sentence_bert import load

        distinct = list(dict.fromkeys([*hyps, *(ref for of in refs for ref in of)]))
        vectors = load(folder, self.settings.device).embed(distinct).astype(float)
        row = {text: index for index, text in enumerate(distinct)}
        items = [
            mean([float(vectors[row[hyp]] @ vectors[row[ref]]) for ref in of])  # each reference counts, equal ones too
            for hyp, of in zip(hyps, refs)
        ]
        (name,) = self.names
        return Result({name: mean(items)}, {name: items})

    def texts(self, captions: Captions) -> tuple[list[str], list[list[str]]]:
        """Candidates and references as the metric reads them."""
        return captions.hyps, captions.refs


class SbertRaw(Sbert):
    """SBERT of the captions as they were written, as in the original FENSE."""

    names = ("SBERT-raw",)

    def texts(self, captions: Captions) -> tuple[list[str], list[list[str]]]:
        """Candidates and references as the metric reads them."""
        return captions.raw_hyps, captions.raw_refs


def need_transformers() -> None:
    """Raises Unavailable where the transformers package is missing."""
    if importlib.util.find_spec("transformers") is None:
        raise Unavailable(f"the Python package transformers is missing; run {mending.packages('transformers')}")


def _folder(wanted: str | None) -> Path:
    """The model's folder: the installed one, a folder that is named, or a hub's model in its cache."""
    need_transformers()
    if wanted is None:
        if not fense_install.installed():
            raise Unavailable(f"Sentence-BERT is not in {fense_install.sbert_folder()}; run {fense_install.COMMAND}")
        return fense_install.sbert_folder()
    if Path(wanted).is_dir():
        return Path(wanted)
    if wanted.startswith((".", "/", "~")) or wanted.count("/") > 1:
        raise EspretError(f"--sbert {wanted}: no such folder")
    from espret.scoring.fense.bert import of_hub

    return of_hub(wanted if "/" in wanted else f"sentence-transformers/{wanted}")
