"""FENSE's networks on this machine: the Sentence-BERT of its paper, and its detectors of fluency errors.

`tools/installers/fense.sh` runs this. Sentence-BERT and the BERT configurations and word lists come from the Hugging
Face hub, the detectors from release V0.1 of blmoistawinde/fense. espret.scoring.fense.{sbert,fluency} read them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from espret import installation, mending
from espret.download import NotThere, Remote, difference, fetch
from espret.errors import EspretError
from espret.files import read_json

COMMAND = mending.fense()  # what a user runs to get the networks; it calls `main` here
HUB = "https://huggingface.co"
RELEASE = "https://github.com/blmoistawinde/fense/releases/download/V0.1"
SBERT = "paraphrase-TinyBERT-L6-v2"


@dataclass(frozen=True)
class Item:
    """One file: its path in tools/fense, the hub's repository that has it (none: the release of the detectors), the
    name that it has in older repositories, and what is known of it."""

    path: str
    repository: str = ""
    older: str = ""
    size: int | None = None
    digest: str | None = None

    def url(self, hub: str, mirror: str | None) -> str:
        """Where it is: on a mirror (the layout of tools/fense), else on the hub or in the release."""
        if mirror:
            return f"{mirror.rstrip('/')}/{self.path}"
        if self.repository:
            return f"{hub.rstrip('/')}/{self.repository}/resolve/main/{self.path.split('/', 1)[1]}"
        return f"{RELEASE}/{self.path}"

    def older_item(self) -> Item:
        """The same under its older name."""
        return Item(self.path.rsplit("/", 1)[0] + f"/{self.older}", self.repository)


def _of(folder: str, repository: str, *names: str) -> tuple[Item, ...]:
    return tuple(Item(f"{folder}/{name}", repository) for name in names)


_SBERT = (SBERT, f"sentence-transformers/{SBERT}")
SIMILARITY = (
    *_of(*_SBERT, "modules.json", "1_Pooling/config.json", "sentence_bert_config.json"),
    *_of(*_SBERT, "config.json", "tokenizer_config.json"),
    Item(f"{SBERT}/tokenizer.json", _SBERT[1], older="vocab.txt"),
    Item(f"{SBERT}/model.safetensors", _SBERT[1], older="pytorch_model.bin"),
)
DETECTOR = (
    Item(
        "echecker_clotho_audiocaps_base.ckpt",
        digest="sha256:1a719f090af70614bbdb9f9437530b7e133c48cfa4a58d964de0d47fc974a2fa",
    ),
    *_of("bert-base-uncased", "google-bert/bert-base-uncased", "config.json"),
    Item(
        "bert-base-uncased/vocab.txt",
        "google-bert/bert-base-uncased",
        size=231_508,
        digest="sha256:07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    ),
)
TINY_DETECTOR = (
    Item(
        "echecker_clotho_audiocaps_tiny.ckpt",
        digest="sha256:90ed0ac5033ec497ec66d4f68588053813e085671136dae312097c96c504f673",
    ),
    *_of("bert-tiny", "prajjwal1/bert-tiny", "config.json", "vocab.txt"),
)
PUBLISHED = {item.digest: item.path for item in (*DETECTOR, *TINY_DETECTOR) if item.path.endswith(".ckpt")}


def home() -> Path:
    """The folder of the networks: $ESPRET_FENSE, else tools/fense (espret.installation.home)."""
    return installation.home("fense", "ESPRET_FENSE")


def installed(folder: Path | None = None) -> bool:
    """Whether Sentence-BERT and the detector are there. Takes about a millisecond."""
    return installation.whole(folder or home())


def sbert_folder() -> Path:
    """The installed Sentence-BERT, a folder of the sentence-transformers package."""
    return home() / SBERT


def detector_file() -> Path:
    """The installed detector of fluency errors."""
    return home() / DETECTOR[0].path


def install(
    folder: Path | None = None, source: Path | None = None, mirror: str | None = None, tiny: bool = False
) -> bool:
    """Fetch and verify the networks; False if they were there already.

    They come from `source`, a folder with the layout of tools/fense, else from `mirror`, a server with that layout,
    else from the hub ($HF_ENDPOINT names another one) and the release. With `tiny` the small detector comes too.
    Interrupted, it leaves nothing that `installed` takes for whole, and a second start goes on. Raises EspretError.
    """
    target = folder or home()
    items = [*SIMILARITY, *DETECTOR, *(TINY_DETECTOR if tiny else ())]
    if installed(target) and all(_there(target, item) for item in items):
        return False
    with installation.alone(target):
        installation.remove_damaged(target)
        _report(f"installing FENSE's networks (about 0.7 GB) in {target}")
        bring = _copier(target, source) if source else _fetcher(target, mirror)
        files = [bring(item) for item in items]
        kept = [path for item in TINY_DETECTOR if (path := target / item.path).is_file() and path not in files]
        installation.write_record(target, [*files, *kept])
    _report(f"FENSE's networks are ready in {target}")
    return True


def _there(target: Path, item: Item) -> bool:
    return any((target / one.path).is_file() for one in _names(item))


def _names(item: Item) -> list[Item]:
    return [item, item.older_item()] if item.older else [item]


def _copier(target: Path, source: Path) -> Callable[[Item], Path]:
    """The function that copies an item from a folder. Raises EspretError when the folder lacks any."""

    def copy(item: Item) -> Path:
        for one in _names(item):
            if (found := source / one.path).is_file():
                return _copied(found, target / one.path, one)
        names = " or ".join(one.path for one in _names(item))
        raise EspretError(
            f"{source} has no {names}; it must have the layout of tools/fense where {COMMAND} has been run"
        )

    return copy


def _copied(found: Path, path: Path, item: Item) -> Path:
    if problem := difference(found, Remote("", item.size, item.digest)):
        raise EspretError(f"{found} is not the published file: {problem}; fetch it from {item.url(HUB, None)}")
    _check(found)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    shutil.copyfile(found, partial)
    os.replace(partial, path)
    return path


def _fetcher(target: Path, mirror: str | None) -> Callable[[Item], Path]:
    """The function that downloads an item."""
    hub = os.environ.get("HF_ENDPOINT") or HUB

    def download(item: Item) -> Path:
        path = fetch(Remote(item.url(hub, mirror), item.size, item.digest), target / item.path, say=_report)
        _check(path, remove=True)
        return path

    def bring(item: Item) -> Path:
        try:
            if item.older:
                with contextlib.suppress(NotThere):
                    return download(item)
                return download(item.older_item())
            return download(item)
        except EspretError as error:
            raise EspretError(
                f"{error}. Everything but SBERT, FER, FENSE and SPIDEr-FL works without it; run {COMMAND} again (it "
                f"continues), with --mirror URL for another server, or --from FOLDER for files fetched elsewhere"
            ) from None

    return bring


def _check(path: Path, remove: bool = False) -> None:
    """That a small file whose digest nobody knows is no error page. Raises EspretError."""
    if path.suffix != ".json":
        return
    try:
        read_json(path)
    except EspretError:
        if remove:
            path.unlink()
        raise


def _report(text: str) -> None:
    print(f"fense: {text}", file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Install FENSE's networks; nothing to do, and quick about it, when they are there."""
    parser = argparse.ArgumentParser(prog="fense.sh", description=main.__doc__, allow_abbrev=False)
    parser.add_argument("--check", action="store_true", help="only say whether they are installed: exit status 0 or 1")
    parser.add_argument("--tiny", action="store_true", help="the small detector of fluency errors too")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--from", dest="source", type=Path, metavar="FOLDER", help="copy them from another tools/fense")
    where.add_argument("--mirror", metavar="URL", help="fetch from a server with the layout of tools/fense")
    options = parser.parse_args(argv)

    def action() -> int:
        if options.check:
            return 0 if installed() else 1
        install(source=options.source, mirror=options.mirror, tiny=options.tiny)
        return 0

    return installation.run("fense", action)


if __name__ == "__main__":
    sys.exit(main())
