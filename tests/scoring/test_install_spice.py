"""The installer of SPICE's parser: cut down, verified, whole or absent; with made-up artifacts and no network."""

import hashlib
import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from espret.errors import EspretError
from espret.scoring import install

GRAMMAR = "edu/stanford/nlp/models/lexparser/englishPCFG.ser.gz"
WORDS = "edu/stanford/nlp/models/dcoref/demonyms.txt"


class Repository:
    """Stands for jgo: `answers` are what the next downloads bring, then the real bytes."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.answers: list[bytes | str] = []
        self.downloads = 0

    def download(self, artifact: Any) -> str:
        path = Path(artifact.cached_path)
        if path.exists():
            return ""
        self.downloads += 1
        answer = self.answers.pop(0) if self.answers else self.files[artifact.classifier]
        if isinstance(answer, str):
            return answer
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(answer)
        return ""


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Repository:
    jar = io.BytesIO()
    with zipfile.ZipFile(jar, "w") as archive:
        for name in (
            GRAMMAR,
            WORDS,
            "edu/stanford/nlp/models/ner/big.gz",
            "../outside",
            "edu/stanford/nlp/models/dcoref/",
        ):
            archive.writestr(name, f"content of {name}")
    files = {"": b"the code", "models": jar.getvalue()}
    for name, classifier in (("CODE", ""), ("MODELS", "models")):
        data = files[classifier]
        artifact = install.Artifact(classifier, len(data), hashlib.sha256(data).hexdigest())
        monkeypatch.setattr(install, name, artifact)
    made = Repository(files)
    monkeypatch.setattr(install, "_download", made.download)
    return made


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_installs_only_what_is_read_and_then_does_nothing(repository: Repository, tmp_path: Path) -> None:
    folder = tmp_path / "ein 'böser' Pfad"
    assert not install.installed(folder)
    assert install.install(folder)
    models = f"{install.VERSION}/models"
    kept = {f"{models}/{GRAMMAR}", f"{models}/{WORDS}", f"{install.VERSION}/{install.CODE_JAR}"}
    assert names(folder) == kept | {f"{install.VERSION}/{install.RECORD}", ".install.lock"}
    assert install.class_path(folder) == [folder / install.VERSION / install.CODE_JAR, folder / models]
    assert not install.install(folder)
    assert repository.downloads == 2


def test_what_an_interrupted_download_left_is_not_taken(repository: Repository, tmp_path: Path) -> None:
    place = tmp_path / "maven.partial/edu/stanford/nlp/stanford-corenlp/3.6.0"
    place.mkdir(parents=True)
    (place / "stanford-corenlp-3.6.0.jar").write_bytes(b"the code")  # whole: kept
    (place / "stanford-corenlp-3.6.0-models.jar").write_bytes(repository.files["models"][:-9])
    (tmp_path / f"{install.VERSION}.partial" / "models").mkdir(parents=True)
    (tmp_path / f"{install.VERSION}.partial" / "models" / "half").write_text("half")
    assert not install.installed(tmp_path)
    assert install.install(tmp_path)
    assert repository.downloads == 1
    assert "half" not in " ".join(names(tmp_path))


def test_a_wrong_checksum_is_fetched_again_then_refused(repository: Repository, tmp_path: Path) -> None:
    repository.answers = [b"bad code"]
    assert install.install(tmp_path / "a")
    repository.answers = [b"bad code"] * install.TRIES
    with pytest.raises(
        EspretError,
        match=rf"Everything but SPICE and SPIDEr works.*{re.escape(install.COMMAND)} again.*wrong checksum",
    ):
        install.install(tmp_path / "b")
    assert not install.installed(tmp_path / "b")


def test_offline_says_what_to_do_and_a_later_start_continues(repository: Repository, tmp_path: Path) -> None:
    repository.answers = [repository.files[""], *["ConnectionError: no network"] * install.TRIES]
    with pytest.raises(
        EspretError, match=rf"Everything but SPICE .* run {re.escape(install.COMMAND)} again.*no network"
    ):
        install.install(tmp_path)
    before = repository.downloads
    assert install.install(tmp_path)
    assert repository.downloads == before + 1


def test_a_damaged_installation_is_made_anew(repository: Repository, tmp_path: Path) -> None:
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


def test_main_and_check(repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ESPRET_SPICE", str(tmp_path))
    assert install.main(["--check"]) == 1
    assert install.main([]) == 0
    assert install.main(["--check"]) == 0
