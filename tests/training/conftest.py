"""The tiny corpus as fixtures."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_corpus import make_split

from espret.text.prepare import load_tokenizer, prepare_text
from espret.training.data import Split


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with data/{train,valid}, feats/{train,valid} and text."""
    root = tmp_path_factory.mktemp("corpus ü")
    make_split(root, "train", 23)
    make_split(root, "valid", 8)
    prepare_text({"type": "word"}, root / "data/train", root / "text")
    return root


@pytest.fixture
def split(corpus: Path) -> Split:
    """Its training split."""
    return Split(corpus / "data/train", corpus / "feats/train", load_tokenizer(corpus / "text"))
