"""The tiny corpus as fixtures."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_corpus import make_corpus

from espret.text.prepare import load_tokenizer
from espret.training.data import Split


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with data/{train,valid}, feats/{train,valid} and text."""
    return make_corpus(tmp_path_factory.mktemp("corpus ü"))


@pytest.fixture
def split(corpus: Path) -> Split:
    """Its training split."""
    return Split(corpus / "data/train", corpus / "feats/train", load_tokenizer(corpus / "text"))
