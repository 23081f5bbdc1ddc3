"""tools/install.sh: what it says before it installs anything. The installation itself is what CI begins with."""

import os
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from whole_recipes import ROOT, copy_repository

COPY = 'it\'s a "copy"'


@pytest.fixture
def install(tmp_path):
    """Run the installer of a copy of the repository, with an empty home."""
    root = copy_repository(tmp_path / COPY)

    def call(*words, path="/usr/bin:/bin"):
        environ = {"PATH": path, "HOME": str(tmp_path), "PIP_NO_INDEX": "1"}
        return subprocess.run([str(root / "tools/install.sh"), *words], env=environ, capture_output=True, text=True)

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


@pytest.fixture
def own(tmp_path):
    """The Python of a virtual environment of the user's own, with a torch of their own build in development mode."""
    folder = tmp_path / "my 'own' env"
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python3*/site-packages")
    build = tmp_path / "torch büild"
    (build / "torch").mkdir(parents=True)
    (build / "torch/__init__.py").write_text("__version__ = 'my own'\n")
    (site / "torch.pth").write_text(f"{build}\n", encoding="utf-8")
    return folder / "bin/python3"


def test_the_torch_of_a_virtual_environment_is_used(install, own, tmp_path):
    """And a second start knows which interpreter tools/venv is from. Without an index pip goes no further."""
    done = install("--python", str(own))
    assert f"using the torch of {own}" in done.stderr and "pip failed" in done.stderr
    ours = tmp_path / COPY / "tools/venv/bin/python3"
    # In the environment of path.sh, here a caller's locale that is plain C notwithstanding.
    shell = '. "$1"; "$2" -c "import torch; print(torch.__version__)"'
    words = ["bash", "-c", shell, "-", str(ROOT / "path.sh"), str(ours)]
    environ = {**os.environ, "LC_ALL": "C", "ESPRET_PYTHON": sys.executable}
    found = subprocess.run(words, env=environ, capture_output=True, text=True)
    assert found.stdout == "my own\n", found.stderr

    same = own.with_name("python")
    assert "pip failed" in install("--python", str(same)).stderr
    other = install("--python", sys.executable)
    assert other.returncode == 1
    assert f"tools/venv is made from {own}; --force makes it anew from {sys.executable}" in other.stderr
    assert ours.exists()


def test_a_torch_that_a_virtual_environment_cannot_see(install, tmp_path):
    text = """case "$*" in
    *"-m venv "*) for last; do :; done; mkdir -p "$last/bin"; printf '#!/bin/sh\\nexit 1\\n' >"$last/bin/python3"
        chmod +x "$last/bin/python3" ;;
    esac"""
    done = install("--python", str(script(tmp_path / "python3", text)))
    assert done.returncode == 1
    assert (
        "does not find its torch; install espret beside that torch" in done.stderr and "pip failed" not in done.stderr
    )


def test_a_wrong_name_takes_nothing_away(install, tmp_path):
    made = tmp_path / COPY / "tools/venv"
    made.mkdir()
    assert install("--force", "--python", "/no/such/python").returncode == 1
    assert made.exists()


def run_tests(tmp_path: Path, absent: str, *words: str) -> subprocess.CompletedProcess[str]:
    """tests/run.sh in a copy and an active environment that lacks a package, and where no linter is on PATH."""
    root = copy_repository(tmp_path / COPY)
    (root / "tests").mkdir()
    shutil.copy2(ROOT / "tests/run.sh", root / "tests/run.sh")
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("bash", "dirname", "cat", "sed"):
        found = shutil.which(name)
        assert found
        script(commands / name, f'exec {found} "$@"')
    script(commands / "python3", f'case "$*" in *" {absent}") exit 1 ;; esac; exec {shlex.quote(sys.executable)} "$@"')
    command = ["/bin/bash", str(root / "tests/run.sh"), *words]
    return subprocess.run(command, env={"PATH": str(commands)}, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "absent, words, named",
    [("ruff", ["--only", "lint"], "ruff shellcheck git"), ("pytest", ["--only", "pytest"], "pytest")],
)
def test_the_tests_name_what_they_lack(tmp_path, absent, words, named):
    done = run_tests(tmp_path, absent, *words)
    assert done.returncode == 1 and done.stdout == ""
    assert f"not installed: {named}\n" in done.stderr
    assert f"{tmp_path}/bin/python3 -m pip install -e '.[test]'" in done.stderr
    assert ("install git from" in done.stderr) == ("git" in named)


def test_half_of_the_tests_that_there_is_not(tmp_path):
    done = run_tests(tmp_path, "nothing", "--only", "pytets")
    assert done.returncode == 2 and "--only pytets: expected lint or pytest" in done.stderr
