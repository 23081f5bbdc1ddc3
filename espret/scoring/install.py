"""SPICE's parser on this machine: Stanford CoreNLP 3.6.0 fetched by jgo, verified, cut down to what SPICE reads.

`tools/installers/spice.sh` runs this. The jars of SPICE itself come with the pycocoevalcap package
(espret.scoring.java); the models jar (378 MB) is deleted once the parser's grammar and word lists (74 MB) are out of
it.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from espret import mending
from espret.errors import EspretError
from espret.files import read_json, sha256_file, write_json

VERSION = "corenlp-3.6.0"
COMMAND = mending.spice()  # what a user runs to get SPICE; it calls `main` here
TRIES = 3
TIMEOUT = 60  # seconds without an answer from the Maven repository


@dataclass(frozen=True)
class Artifact:
    """One file of Maven artifact edu.stanford.nlp:stanford-corenlp:3.6.0, with its size in bytes and its SHA-256."""

    classifier: str
    size: int
    sha256: str


CODE = Artifact("", 7_270_741, "d341d5863276f55782c5ef73212222d6b3b48e02ae1951ab6de7618d28b12742")
MODELS = Artifact("models", 378_116_526, "d285157bd7887ee3018094b5dbae092e49088b023361ccdb550ee1daf9b2c9bd")

CODE_JAR = "stanford-corenlp-3.6.0.jar"
# The grammar, and the word lists that a class of SPICE's scene-graph parser opens when it is loaded. Nothing else of
# the models is read, given the annotators that espret.scoring.spice sets.
KEPT = ("edu/stanford/nlp/models/lexparser/englishPCFG.ser.gz", "edu/stanford/nlp/models/dcoref/")
RECORD = "installed.json"  # {relative path: bytes}, written when all is in place


def home() -> Path:
    """The folder of SPICE's parser and of the store of parses: $ESPRET_SPICE, else tools/spice of the checkout that
    espret is imported from, else (an installed wheel) $XDG_DATA_HOME/espret/spice.
    """
    if chosen := os.environ.get("ESPRET_SPICE"):
        return Path(chosen).expanduser().absolute()
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "tools" / "installers").is_dir():
        return checkout / "tools" / "spice"
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "espret" / "spice"


def installed(folder: Path | None = None) -> bool:
    """Whether every file of the parser is there with its right size. Takes about a millisecond."""
    place = (folder or home()) / VERSION
    if not (place / RECORD).is_file():
        return False
    sizes = read_json(place / RECORD)
    return all((place / name).is_file() and (place / name).stat().st_size == size for name, size in sizes.items())


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
    target.mkdir(parents=True, exist_ok=True)
    with _locked(target / ".install.lock"):
        if installed(target):
            return False
        _report(f"installing SPICE's parser ({VERSION}, a download of 385 MB, 81 MB kept) in {target}")
        _build(target)
    _report(f"SPICE's parser is ready in {target}")
    return True


def _build(target: Path) -> None:
    repository = target / "maven.partial"
    partial = target / f"{VERSION}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    shutil.copyfile(_fetch(CODE, repository), partial / CODE_JAR)
    _extract(_fetch(MODELS, repository), partial / "models")
    files = [path for path in sorted(partial.rglob("*")) if path.is_file()]
    write_json(partial / RECORD, {path.relative_to(partial).as_posix(): path.stat().st_size for path in files})
    shutil.rmtree(target / VERSION, ignore_errors=True)  # a damaged one
    os.replace(partial, target / VERSION)
    shutil.rmtree(repository)


def _fetch(artifact: Artifact, repository: Path) -> Path:
    """The artifact's file in our private Maven repository, downloaded if it is not there and whole."""
    from jgo.maven import MavenContext
    from jgo.maven import PythonResolver as Resolver

    context = MavenContext(
        resolver=Resolver(progress_callback=_progress),
        repo_cache=repository,
        remote_repos=_remotes(),
        timeout=TIMEOUT,
    )
    component = context.project("edu.stanford.nlp", "stanford-corenlp").at_version("3.6.0")
    wanted = component.artifact(artifact.classifier, "jar")
    path = repository / component.path_prefix / wanted.cached_filename
    for attempt in range(1, TRIES + 1):
        # jgo writes in place, so what an interrupted download left looks like the file; only the checksum tells.
        if path.exists() and not _whole(path, artifact):
            path.unlink()
        problem = _download(wanted)
        if not problem and _whole(path, artifact):
            return path
        problem = problem or "the file that came has a wrong checksum"
        _report(f"attempt {attempt} of {TRIES} failed: {problem:.300}")
    raise EspretError(
        f"could not fetch {wanted} from {', '.join(context.remote_repos.values())}. Everything but SPICE and SPIDEr "
        f"works without it; when the network is there, run {COMMAND} again (it continues). The cause: {problem:.300}"
    )


def _download(artifact: object) -> str:
    """Have jgo resolve the artifact; returns what went wrong, or nothing."""
    import requests

    try:
        artifact.resolve()  # type: ignore[attr-defined]
    except (requests.RequestException, RuntimeError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _remotes() -> dict[str, str]:
    """Maven Central, and the repositories that the user's own jgo configuration names (a mirror, behind a firewall)."""
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL

    return {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}


def _whole(path: Path, artifact: Artifact) -> bool:
    if not path.is_file() or path.stat().st_size != artifact.size:
        return False
    return sha256_file(path) == artifact.sha256


def _extract(jar: Path, target: Path) -> None:
    # The names come out of a verified archive and `ZipFile.extract` keeps them below the target.
    with zipfile.ZipFile(jar) as archive:
        for entry in archive.infolist():
            if entry.filename.startswith(KEPT) and not entry.is_dir():
                archive.extract(entry, target)


@contextlib.contextmanager
def _progress(name: str, size: int) -> Iterator[Callable[[int], None]]:
    from tqdm import tqdm

    # On a terminal a bar; in a log a line every ten seconds.
    interval = 0.2 if sys.stderr.isatty() else 10.0
    with tqdm(total=size, desc=name, unit="B", unit_scale=True, mininterval=interval) as bar:

        def advance(count: int) -> None:
            bar.update(count)

        yield advance


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _report(text: str) -> None:
    print(f"spice: {text}", file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Install SPICE's parser; nothing to do, and quick about it, when it is there."""
    parser = argparse.ArgumentParser(prog="spice.sh", description=main.__doc__, allow_abbrev=False)
    parser.add_argument("--check", action="store_true", help="only say whether it is installed: exit status 0 or 1")
    options = parser.parse_args(argv)
    try:
        if options.check:
            return 0 if installed() else 1
        install()
    except EspretError as error:
        print(f"spice: error: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("spice: interrupted; start it again to continue", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
