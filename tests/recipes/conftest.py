"""A copy of the repository, and an environment, for whole recipes."""

import os
import sys
from pathlib import Path

import pytest
from whole_recipes import copy_repository


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A fresh copy of the repository."""
    return copy_repository(tmp_path / 'it\'s a "copy"')


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment of a user whose active Python has espret."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ESPRET_RESUME", "ESPRET_LOCK"))}
    return {**kept, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "cmd_backend": "local"}
