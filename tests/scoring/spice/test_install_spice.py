"""The installer of SPICE's parser: cut down, verified, whole or absent; from a made-up Maven repository here."""

import gzip
import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from web_server import Web, serving

from espret import download
from espret.errors import EspretError
from espret.installation import RECORD
from espret.scoring.java import start
from espret.scoring.spice import install

PLACE = "/maven/edu/stanford/nlp/stanford-corenlp/3.6.0/stanford-corenlp-3.6.0"
CODE, MODELS = f"{PLACE}.jar", f"{PLACE}-models.jar"
WORDS = "edu/stanford/nlp/models/dcoref/demonyms.txt"


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    jar = io.BytesIO()
    with zipfile.ZipFile(jar, "w") as archive:
        for name in (*install.KEPT, install.UNREAD_MAP, "edu/stanford/nlp/models/ner/big.gz", "../outside"):
            archive.writestr(name, f"content of {name}" * 100)
    monkeypatch.setattr(download, "PAUSES", (0.0, 0.0))
    with serving() as web:
        web.files = {CODE: b"the code", MODELS: jar.getvalue()}
        for name, classifier, path in (("CODE", "", CODE), ("MODELS", "models", MODELS)):
            data = web.files[path]
            artifact = install.Artifact(classifier, len(data), hashlib.sha256(data).hexdigest())
            monkeypatch.setattr(install, name, artifact)
        monkeypatch.setattr(install, "_remotes", lambda: {"here": f"{web.url}/maven/"})
        yield web


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_installs_only_what_is_read_and_then_does_nothing(repository: Web, tmp_path: Path) -> None:
    folder = tmp_path / "ein 'böser' Pfad"
    assert not install.installed(folder)
    assert install.install(folder)
    models = f"{install.VERSION}/models"
    kept = {f"{models}/{name}" for name in (*install.KEPT, install.UNREAD_MAP)}
    kept |= {f"{install.VERSION}/{install.CODE_JAR}", f"{install.VERSION}/{RECORD}", ".install.lock"}
    assert names(folder) == kept
    assert install.class_path(folder) == [folder / install.VERSION / install.CODE_JAR, folder / models]
    assert not install.install(folder)
    assert (repository.counts(CODE), repository.counts(MODELS)) == (1, 1)


def test_the_map_that_is_never_looked_into_is_an_empty_one(repository: Web, tmp_path: Path) -> None:
    install.install(tmp_path)
    kept = gzip.decompress((tmp_path / install.VERSION / "models" / install.UNREAD_MAP).read_bytes())
    jpype = start()
    read = jpype.JClass("java.io.ObjectInputStream")(
        jpype.JClass("java.io.ByteArrayInputStream")(jpype.JArray(jpype.JByte)(kept))
    )
    assert read.readObject().equals(jpype.JClass("java.util.HashMap")())


def test_a_cut_download_is_resumed(repository: Web, tmp_path: Path) -> None:
    repository.faults[MODELS] = ["cut 500"]
    assert install.install(tmp_path)
    assert repository.requests[-1] == (MODELS, "bytes=500-")


def test_a_wrong_checksum_is_fetched_again_then_refused(repository: Web, tmp_path: Path) -> None:
    repository.faults[CODE] = ["wrong"]
    assert install.install(tmp_path / "a")
    repository.faults[CODE] = ["wrong"] * 9
    message = rf"sha256.* instead of .*Everything but SPICE and SPIDEr works.*{re.escape(install.COMMAND)} again"
    with pytest.raises(EspretError, match=message):
        install.install(tmp_path / "b")
    assert not install.installed(tmp_path / "b")


def test_offline_says_what_to_do_and_a_later_start_continues(repository: Web, tmp_path: Path) -> None:
    repository.faults[MODELS] = ["cut 700", *["503"] * 9]
    message = rf"Everything but SPICE .* run {re.escape(install.COMMAND)} again"
    with pytest.raises(EspretError, match=message):
        install.install(tmp_path)
    repository.faults.clear()
    assert install.install(tmp_path)
    assert repository.counts(CODE) == 1 and repository.requests[-1] == (MODELS, "bytes=700-")


def test_a_damaged_installation_is_made_anew(repository: Web, tmp_path: Path) -> None:
    install.install(tmp_path)
    (tmp_path / install.VERSION / "models" / WORDS).write_text("cut")
    assert not install.installed(tmp_path)
    with pytest.raises(EspretError, match=f"run {re.escape(install.COMMAND)}"):
        install.class_path(tmp_path)
    assert install.install(tmp_path)
    assert install.installed(tmp_path)


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ESPRET_SPICE", str(tmp_path / "x"))
    assert install.home() == tmp_path / "x"
    monkeypatch.delenv("ESPRET_SPICE")
    assert install.home().parts[-2:] in {("tools", "spice"), ("espret", "spice")}


def test_main_and_check(repository: Web, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ESPRET_SPICE", str(tmp_path))
    assert install.main(["--check"]) == 1
    assert install.main([]) == 0
    assert install.main(["--check"]) == 0
