"""tools/install.sh: what it says before it installs anything. The installation itself is what CI begins with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from whole_recipes import copy_repository


@pytest.fixture
def install(tmp_path):
    """Run the installer of a copy of the repository, with an empty home."""
    root = copy_repository(tmp_path / 'it\'s a "copy"')

    def call(*words, path="/usr/bin:/bin"):
        return subprocess.run(
            [str(root / "tools/install.sh"), *words],
            env={"PATH": path, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
        )

    return call


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_an_active_environment_is_used_as_it_is(install):
    done = install("--print-bin", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_no_such_interpreter(install):
    done = install("--python", "/no/such/python")
    assert done.returncode == 1
    assert "no interpreter '/no/such/python'" in done.stderr and "--python PY" in done.stderr


def test_an_old_interpreter(install, tmp_path):
    old = script(tmp_path / "python3.8", 'if [ "$1" = --version ]; then echo Python 3.8.1; else exit 1; fi')
    done = install("--python", str(old))
    assert done.returncode == 1
    assert "Python 3.8.1; espret needs Python >= 3.10" in done.stderr


def test_an_interpreter_without_venv(install, tmp_path):
    bare = script(tmp_path / "python3", 'case "$2" in *venv*) exit 1 ;; esac')
    done = install(f"--python={bare}")
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr


def test_unknown_option_and_help(install):
    done = install("--pyhton", "x")
    assert done.returncode == 1 and "unknown option '--pyhton'" in done.stderr
    done = install("--help")
    assert done.returncode == 0 and "tools/install.sh --python PY" in done.stdout
