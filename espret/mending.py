"""The commands that mend this installation: tools/install.sh for its own tools/venv, pip for a user's own environment.

What is wrong is found elsewhere: espret.doctor, espret.scoring.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def in_tools_venv() -> bool:
    """Whether this Python is that of the checkout's tools/venv, which tools/install.sh makes and keeps up."""
    return Path(sys.prefix).resolve() == (ROOT / "tools/venv").resolve()


def install_command(*words: str) -> str:
    """tools/install.sh with options, for the shell."""
    return shlex.join([str(ROOT / "tools/install.sh"), *words])


def packages(*names: str, afresh: bool = False) -> str:
    """The command that installs these packages, in the tested versions unless one is named (`name==1.2`).

    `afresh`: what is there is beyond repair, so that a tools/venv is made anew.
    """
    if in_tools_venv():
        return install_command(*["--force"] * afresh)
    pins = pinned()
    wanted = [f"{name}=={pins[normal(name)]}" if normal(name) in pins else name for name in names]
    return shlex.join([sys.executable, "-m", "pip", "install", *wanted])


def spice() -> str:
    """The command that installs SPICE's parser."""
    return install_command() if in_tools_venv() else _installer("spice.sh", "espret.scoring.spice.install")


def fense() -> str:
    """The command that installs FENSE's networks, which tools/install.sh leaves out."""
    return _installer("fense.sh", "espret.scoring.fense.install")


def _installer(name: str, module: str) -> str:
    """A script of tools/installers, to be run with this Python."""
    script = ROOT / "tools/installers" / name
    if not script.is_file():
        return shlex.join([sys.executable, "-m", module])  # an installed wheel
    if in_tools_venv():
        return shlex.quote(str(script))
    return f"PYTHON={shlex.quote(sys.executable)} {shlex.quote(str(script))}"


def normal(name: str) -> str:
    """A package's name as tools/requirements.lock spells it."""
    return name.lower().replace("_", "-")


def pinned() -> dict[str, str]:
    """The versions of tools/requirements.lock that hold for this interpreter; none where there is no checkout."""
    from packaging.markers import Marker

    pins = {}
    lock = ROOT / "tools/requirements.lock"
    for line in lock.read_text(encoding="utf-8").splitlines() if lock.is_file() else []:
        match = re.match(r"([\w.-]+)==(\S+)(?:\s*;\s*(.+))?$", line)
        if match and (not match[3] or Marker(match[3]).evaluate()):
            pins[normal(match[1])] = match[2]
    return pins
