"""Scoring tests: those marked `java` need SPICE's parser and skip without it, unless ESPRET_REQUIRE_JAVA is set."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from espret.scoring.spice import install

GOLDENS = Path(__file__).parents[1] / "goldens" / "scoring"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if install.installed() or os.environ.get("ESPRET_REQUIRE_JAVA"):
        return
    for item in items:
        if item.get_closest_marker("java"):
            item.add_marker(pytest.mark.skip(reason=f"no SPICE parser in {install.home()}: run {install.COMMAND}"))


@pytest.fixture
def handmade() -> dict[str, Any]:
    """Seven made-up clips with the values of the original programs."""
    return json.loads((GOLDENS / "captions.json").read_text(encoding="utf-8"))


@pytest.fixture
def no_spice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without SPICE's parser."""
    place = tmp_path / "no spice"
    monkeypatch.setenv("ESPRET_SPICE", str(place))
    return place
