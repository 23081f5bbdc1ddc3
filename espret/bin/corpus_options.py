"""The options by which stage 0 is told where a corpus comes from; `fetch-corpus` and `prepare` share them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from espret.data.corpus import BAD_CAPTION, Asked
from espret.errors import EspretError


def add_corpus_options(options: argparse.ArgumentParser) -> None:
    """Add what the recipe's file, the splits and `Asked` need."""
    add = options.add_argument
    add("--function", required=True, metavar="FILE", help="Python file that defines CORPORA or clips()")
    add("--split", required=True, action="append", metavar="NAME=DIR", help="a split, once for each")
    add("--corpus", required=True, help="name of a corpus that only has clips()")
    add("--variant", default="", metavar="WORDS", help="which variant of the corpus, e.g. v1.ac957")
    add("--downloads", type=Path, default=Path("downloads"), metavar="DIR", help="what is downloaded and extracted")
    add("--archives", type=Path, metavar="DIR", help="folder with the official files, instead of downloads")
    add("--audio-dir", type=Path, metavar="DIR", help="folder with the sound files, instead of archives of them")
    add("--sources", type=Path, metavar="TSV", help="download table whose rows replace the corpus' own")
    add("--bad-caption", choices=BAD_CAPTION, default="error", help="what to do with captions that are none")
    add("--youtube", choices=("true", "false"), default="false", help="fetch missing sound by yt-dlp")
    add("--youtube-jobs", type=int, default=4, metavar="N", help="clips fetched from YouTube at a time (default 4)")
    add("--cookies", default="", metavar="FILE", help="cookies for yt-dlp: a file, or browser:NAME")


def split_dirs(words: Iterable[str]) -> dict[str, str]:
    """The words NAME=DIR as a mapping. Raises EspretError for another form and for a name given twice."""
    splits: dict[str, str] = {}
    for word in words:
        name, _, directory = word.partition("=")
        if not name or not directory or name in splits:
            raise EspretError(f"--split {word}: expected NAME=DIR, each name once", status=2)
        splits[name] = directory
    return splits


def asked_of(args: argparse.Namespace) -> Asked:
    """What the options ask for. Raises EspretError for a folder that is not there."""
    for option, folder in (("--archives", args.archives), ("--audio-dir", args.audio_dir)):
        if folder is not None and not folder.is_dir():
            raise EspretError(f"{option} {folder}: no such folder, seen from {Path.cwd()}", status=2)
    return Asked(
        splits=tuple(split_dirs(args.split)),
        variant=args.variant,
        downloads=args.downloads,
        archives=args.archives,
        audio_dir=args.audio_dir,
        sources=args.sources,
        bad_caption=args.bad_caption,
        youtube=args.youtube == "true",
        youtube_jobs=args.youtube_jobs,
        cookies=args.cookies,
    )
