"""The installer of FENSE's networks: made-up files from servers on this machine and from a folder, no network."""

import hashlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from web_server import Web, serving

from espret import download, mending
from espret.errors import EspretError
from espret.scoring.fense import install
from espret.scoring.fense.install import Item

WEIGHTS = f"{install.SBERT}/model.safetensors"
DETECTOR = "echecker_clotho_audiocaps_base.ckpt"


def content(path: str) -> bytes:
    return f'{{"content of": "{path}"}}'.encode() * (1 if path.endswith(".json") else 1000)


def on_hub(path: str) -> str:
    """Where the hub and the release have a file, on one server."""
    for item in (*install.SIMILARITY, *install.DETECTOR, *install.TINY_DETECTOR):
        if item.path == path:
            return f"/{item.repository}/resolve/main/{path.split('/', 1)[1]}" if item.repository else f"/V0.1/{path}"
    raise KeyError(path)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files' paths, after their digests have become those of the made-up ones."""

    def made_up(item: Item) -> Item:
        known = item.digest is not None
        digest = f"sha256:{hashlib.sha256(content(item.path)).hexdigest()}"
        return replace(item, size=len(content(item.path)) if known else None, digest=digest if known else None)

    for group in ("SIMILARITY", "DETECTOR", "TINY_DETECTOR"):
        monkeypatch.setattr(install, group, tuple(map(made_up, getattr(install, group))))
    monkeypatch.setattr(download, "PAUSES", (0.0, 0.0))
    return [item.path for item in (*install.SIMILARITY, *install.DETECTOR)]


@pytest.fixture
def hub(names: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """Hub and release on one server."""
    with serving() as web:
        tiny = [item.path for item in install.TINY_DETECTOR]
        web.files = {on_hub(path): content(path) for path in (*names, *tiny)}
        monkeypatch.setenv("HF_ENDPOINT", f"{web.url}/")
        monkeypatch.setattr(install, "RELEASE", f"{web.url}/V0.1")
        yield web


def found(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def whole(names: list[str]) -> list[str]:
    return sorted([*names, "installed.json", ".install.lock"])


def test_installs_once(hub: Web, names: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "ein 'böser' Pfad"
    assert not install.installed(folder)
    assert install.install(folder)
    assert install.installed(folder) and found(folder) == whole(names)
    assert all((folder / name).read_bytes() == content(name) for name in names)
    asked = len(hub.requests)
    assert not install.install(folder)
    assert asked == len(hub.requests) == len(names)


def test_the_small_detector_joins_and_stays(hub: Web, names: list[str], tmp_path: Path) -> None:
    install.install(tmp_path)
    assert install.install(tmp_path, tiny=True)
    tiny = [item.path for item in install.TINY_DETECTOR]
    assert found(tmp_path) == whole([*names, *tiny])
    (tmp_path / names[0]).unlink()
    assert install.install(tmp_path)
    (tmp_path / tiny[0]).write_bytes(b"damaged")
    assert not install.installed(tmp_path)


def test_an_interrupted_installation_goes_on(hub: Web, names: list[str], tmp_path: Path) -> None:
    hub.faults[on_hub(DETECTOR)] = ["cut 5000", "503", "503", "503"]
    with pytest.raises(
        EspretError, match=rf"(?s)HTTP 503.*Everything but SBERT, FER, FENSE.*run {re.escape(install.COMMAND)} again"
    ):
        install.install(tmp_path)
    assert not install.installed(tmp_path)
    before = len(hub.requests)
    assert install.install(tmp_path)
    assert hub.requests[before] == (on_hub(DETECTOR), "bytes=5000-")
    assert found(tmp_path) == whole(names)


def test_wrong_bytes_are_refused(hub: Web, tmp_path: Path) -> None:
    hub.faults[on_hub(DETECTOR)] = ["wrong", "wrong"]
    with pytest.raises(EspretError, match="another file: sha256 .* --mirror URL .* --from FOLDER"):
        install.install(tmp_path)
    assert not install.installed(tmp_path) and not (tmp_path / DETECTOR).exists()
    hub.headers[on_hub(WEIGHTS)] = {"X-Linked-ETag": f'"{"0" * 64}"'}
    with pytest.raises(EspretError, match="model.safetensors.*another file"):
        install.install(tmp_path / "again")


def test_an_error_page_is_not_taken_for_a_configuration(hub: Web, tmp_path: Path) -> None:
    hub.files[on_hub(f"{install.SBERT}/modules.json")] = b"<html>Please log in</html>"
    with pytest.raises(EspretError, match="modules.json:1: not JSON"):
        install.install(tmp_path)
    assert not found(tmp_path / install.SBERT)


def test_weights_under_their_older_name(hub: Web, names: list[str], tmp_path: Path) -> None:
    hub.files[on_hub(WEIGHTS).replace("model.safetensors", "pytorch_model.bin")] = hub.files.pop(on_hub(WEIGHTS))
    install.install(tmp_path)
    assert f"{install.SBERT}/pytorch_model.bin" in found(tmp_path) and WEIGHTS not in found(tmp_path)
    assert not install.install(tmp_path)


def test_what_the_server_lacks_is_named(hub: Web, tmp_path: Path) -> None:
    del hub.files[on_hub("bert-base-uncased/config.json")]
    with pytest.raises(EspretError, match="google-bert/bert-base-uncased/resolve/main/config.json: HTTP 404"):
        install.install(tmp_path)
    assert not install.installed(tmp_path)


def test_a_mirror_and_a_folder_have_the_layout_of_an_installation(hub: Web, names: list[str], tmp_path: Path) -> None:
    install.install(tmp_path / "one")
    with serving() as mirror:
        mirror.files = {f"/fense/{name}": content(name) for name in names}
        install.install(tmp_path / "two", mirror=f"{mirror.url}/fense/")
    before = len(hub.requests)
    install.install(tmp_path / "three 'ü'", source=tmp_path / "one")
    assert len(hub.requests) == before
    assert found(tmp_path / "one") == found(tmp_path / "two") == found(tmp_path / "three 'ü'")


def test_a_folder_without_the_files_or_with_others(hub: Web, tmp_path: Path) -> None:
    source = tmp_path / "source"
    install.install(source)
    (source / DETECTOR).write_bytes(b"something else")
    with pytest.raises(EspretError, match=f"{DETECTOR} is not the published file: .*; fetch it from http"):
        install.install(tmp_path / "x", source=source)
    (source / WEIGHTS).unlink()
    with pytest.raises(EspretError, match=r"source has no .*model.safetensors or .*pytorch_model.bin; .* layout"):
        install.install(tmp_path / "x", source=source)
    assert not install.installed(tmp_path / "x")


def test_a_damaged_file_is_fetched_again(hub: Web, names: list[str], tmp_path: Path) -> None:
    install.install(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"cut")
    assert not install.installed(tmp_path)
    assert install.install(tmp_path)
    assert (tmp_path / WEIGHTS).read_bytes() == content(WEIGHTS)
    assert hub.counts(on_hub(WEIGHTS)) == 2 and hub.counts(on_hub(DETECTOR)) == 1


def test_home_and_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ESPRET_FENSE", str(tmp_path / "x"))
    assert install.home() == tmp_path / "x" and install.sbert_folder().parent == install.detector_file().parent
    monkeypatch.delenv("ESPRET_FENSE")
    assert install.home().parts[-2:] in {("tools", "fense"), ("espret", "fense")}
    monkeypatch.setattr(mending, "ROOT", tmp_path)
    assert shlex.split(mending.fense()) == [sys.executable, "-m", "espret.scoring.fense.install"]


def test_main(hub: Web, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ESPRET_FENSE", str(tmp_path / "there"))
    assert install.main(["--check"]) == 1
    hub.faults[on_hub(DETECTOR)] = ["403"]
    assert install.main([]) == 1
    assert "fense: error: " in capsys.readouterr().err
    assert install.main(["--tiny"]) == 0
    assert install.main(["--check"]) == 0
    monkeypatch.setenv("ESPRET_FENSE", str(tmp_path / "here"))
    assert install.main(["--from", str(tmp_path / "there")]) == 0
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ESPRET_FENSE", str(tmp_path / "file"))
    assert install.main([]) == 1
    assert "fense: error: [Errno" in capsys.readouterr().err


def test_the_script_runs_the_installer_of_its_python(tmp_path: Path) -> None:
    script = mending.ROOT / "tools/installers/fense.sh"
    environ = {**os.environ, "PYTHON": sys.executable, "ESPRET_FENSE": str(tmp_path)}
    done = subprocess.run([str(script), "--check"], env=environ, cwd=mending.ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
