"""SPICE's parser on this machine: Stanford CoreNLP 3.6.0 from Maven, verified, cut down to what SPICE reads.

`tools/installers/spice.sh` runs this. The jars of SPICE itself come with the pycocoevalcap package
(espret.scoring.java); the models jar (378 MB) is deleted once the parser's grammar and word lists (3 MB) are out of
it.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from espret import installation, mending
from espret.download import Remote, fetch
from espret.errors import EspretError

VERSION = "corenlp-3.6.0"
COMMAND = mending.spice()  # what a user runs to get SPICE; it calls `main` here


@dataclass(frozen=True)
class Artifact:
    """One file of Maven artifact edu.stanford.nlp:stanford-corenlp:3.6.0, with its size in bytes and its SHA-256."""

    classifier: str
    size: int
    sha256: str


CODE = Artifact("", 7_270_741, "d341d5863276f55782c5ef73212222d6b3b48e02ae1951ab6de7618d28b12742")
MODELS = Artifact("models", 378_116_526, "d285157bd7887ee3018094b5dbae092e49088b023361ccdb550ee1daf9b2c9bd")

CODE_JAR = "stanford-corenlp-3.6.0.jar"
MODELS_FOLDER = "edu/stanford/nlp/models"
# The grammar, and the word lists that a class of SPICE's scene-graph parser opens when it is loaded. Nothing else of
# the models is read, given the annotators that espret.scoring.spice.corenlp sets.
KEPT = tuple(
    f"{MODELS_FOLDER}/{name}"
    for name in (
        "lexparser/englishPCFG.ser.gz",
        "dcoref/animate.unigrams.txt",
        "dcoref/countries",
        "dcoref/demonyms.txt",
        "dcoref/inanimate.unigrams.txt",
        "dcoref/singleton.predictor.ser",
        "dcoref/state-abbreviations.txt",
        "dcoref/statesandprovinces",
    )
)
# That class also loads a map of genders, for two seconds, and never looks into it. An empty one takes its place: a
# java.util.HashMap as Java writes it.
UNREAD_MAP = f"{MODELS_FOLDER}/dcoref/gender.map.ser.gz"
EMPTY_MAP = bytes.fromhex(
    "aced0005737200116a6176612e7574696c2e486173684d61700507dac1c31660d103000246000a6c6f6164466163746f72"
    "4900097468726573686f6c6478703f400000000000007708000000100000000078"
)


def home() -> Path:
    """The folder of SPICE's parser and of the store of parses: $ESPRET_SPICE, else tools/spice
    (espret.installation.home).
    """
    return installation.home("spice", "ESPRET_SPICE")


def installed(folder: Path | None = None) -> bool:
    """Whether every file of the parser is there with its right size. Takes about a millisecond."""
    return installation.whole((folder or home()) / VERSION)


def class_path(folder: Path | None = None) -> list[Path]:
    """What Java needs on its class path to parse. Raises EspretError when the parser is not installed."""
    place = (folder or home()) / VERSION
    if not installed(folder):
        raise EspretError(f"SPICE's parser is not in {place}; run {COMMAND}")
    return [place / CODE_JAR, place / "models"]


def install(folder: Path | None = None) -> bool:
    """Fetch, verify and cut down the parser; False if it was there already.

    Interrupted at any moment, it leaves nothing that `installed` takes for whole, and a second start begins with what
    was completely fetched. Two at once: the second waits for the first. Raises EspretError when the repository cannot
    be reached or sends something else.
    """
    target = folder or home()
    if installed(target):
        return False
    with installation.alone(target):
        if installed(target):
            return False
        _report(f"installing SPICE's parser ({VERSION}, a download of 385 MB, 10 MB kept) in {target}")
        _build(target)
    _report(f"SPICE's parser is ready in {target}")
    return True


def _build(target: Path) -> None:
    repository = target / "maven.partial"
    partial = target / f"{VERSION}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    shutil.copyfile(fetch_artifact(CODE, repository), partial / CODE_JAR)
    _extract(fetch_artifact(MODELS, repository), partial / "models")
    installation.write_record(partial, [path for path in partial.rglob("*") if path.is_file()])
    shutil.rmtree(target / VERSION, ignore_errors=True)  # a damaged one
    os.replace(partial, target / VERSION)
    shutil.rmtree(repository)


def fetch_artifact(artifact: Artifact, target: Path) -> Path:
    """The artifact's file, from the first repository that brings it; what an earlier call brought is used."""
    problems = []
    for repository in _remotes().values():
        remote = Remote(f"{repository.rstrip('/')}/{_path(artifact)}", artifact.size, f"sha256:{artifact.sha256}")
        try:
            return fetch(remote, target / Path(remote.url).name, say=_report)
        except EspretError as error:
            problems.append(str(error))
    raise EspretError(
        f"{'; '.join(problems)}. Everything but SPICE and SPIDEr works without it; when the network is there, run "
        f"{COMMAND} again (it continues)"
    )


def _path(artifact: Artifact) -> str:
    """Where the artifact lies in a Maven repository."""
    from jgo.maven import MavenContext, PythonResolver

    component = (
        MavenContext(resolver=PythonResolver()).project("edu.stanford.nlp", "stanford-corenlp").at_version("3.6.0")
    )
    return f"{component.path_prefix}/{component.artifact(artifact.classifier, 'jar').filename}"


def _remotes() -> dict[str, str]:
    """Maven Central, and the repositories that the user's own jgo configuration names (a mirror, behind a firewall)."""
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL

    return {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}


def _extract(jar: Path, target: Path) -> None:
    # The names come out of a verified archive and `ZipFile.extract` keeps them below the target.
    with zipfile.ZipFile(jar) as archive:
        for name in KEPT:
            archive.extract(name, target)
    with gzip.open(target / UNREAD_MAP, "wb") as stream:
        stream.write(EMPTY_MAP)


def _report(text: str) -> None:
    print(f"spice: {text}", file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Install SPICE's parser; nothing to do, and quick about it, when it is there."""
    parser = argparse.ArgumentParser(prog="spice.sh", description=main.__doc__, allow_abbrev=False)
    parser.add_argument("--check", action="store_true", help="only say whether it is installed: exit status 0 or 1")
    options = parser.parse_args(argv)

    def action() -> int:
        if options.check:
            return 0 if installed() else 1
        install()
        return 0

    return installation.run("spice", action)


if __name__ == "__main__":
    sys.exit(main())
