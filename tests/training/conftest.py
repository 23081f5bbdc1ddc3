"""The tiny corpus as a fixture."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_corpus import make_split

from espret.text.prepare import prepare_text


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with data/{train,valid}, feats/{train,valid} and text."""
    root = tmp_path_factory.mktemp("corpus ü")
    make_split(root, "train", 23)
    make_split(root, "valid", 8)
    prepare_text({"type": "word"}, root / "data/train", root / "text")
    return root
