"""`espret VERB ...`: one thin module per verb, found by name here and imported only when asked for.

A verb module has `main(argv) -> int`; it parses its options and calls the package. What it raises as EspretError is
printed as one message, without a traceback.
"""

from __future__ import annotations

import argparse
import os
import sys

from espret.disk import FULL
from espret.errors import EspretError, nearest
from espret.registry import Registry

# One line a verb. The order is that of the stages.
VERBS = Registry(
    "verb",
    {
        "doctor": "espret.bin.doctor:main",
        "fetch-corpus": "espret.bin.fetch_corpus:main",
        "prepare": "espret.bin.prepare:main",
        "check-audio": "espret.bin.check_audio:main",
        "finish-data": "espret.bin.finish_data:main",
        "leaks": "espret.bin.leaks:main",
        "combine-data": "espret.bin.combine_data:main",
        "validate": "espret.bin.validate:main",
        "dump": "espret.bin.dump:main",
        "merge-dump": "espret.bin.merge_dump:main",
        "import-features": "espret.bin.import_features:main",
        "fetch-checkpoint": "espret.bin.fetch_checkpoint:main",
        "text": "espret.bin.text:main",
        "train": "espret.bin.train:main",
        "caption": "espret.bin.caption:main",
        "merge-captions": "espret.bin.merge_captions:main",
        "embed": "espret.bin.embed:main",
        "parse-captions": "espret.bin.parse_captions:main",
        "score-captions": "espret.bin.score_captions:main",
        "score-retrieval": "espret.bin.score_retrieval:main",
        "compare": "espret.bin.compare:main",
        "collect": "espret.bin.collect:main",
        "table": "espret.bin.table:main",
        "report": "espret.bin.report:main",
        "pack": "espret.bin.pack:main",
        "apply": "espret.bin.apply:main",
    },
)


def parser(verb: str, description: str | None) -> argparse.ArgumentParser:
    """The argument parser of a verb: no abbreviations, help from the module's docstring."""
    return argparse.ArgumentParser(
        prog=f"espret {verb}",
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def positive(text: str) -> int:
    """A whole number from 1 on, as an argparse type."""
    return _at_least(1, text)


def natural(text: str) -> int:
    """A whole number from 0 on, as an argparse type."""
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    value = int(text)
    if value < least:
        raise argparse.ArgumentTypeError(f"{value}: expected {least} or more")
    return value


def _usage() -> str:
    return f"usage: espret VERB [options]   (espret VERB --help)\n\nverbs: {', '.join(VERBS)}\n"


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit status (2 for a usage error, 130 for Ctrl-C)."""
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] in ("-h", "--help"):
        print(_usage(), end="")
        return 0 if words else 2
    verb = words[0]
    if verb not in VERBS:
        print(f"espret: unknown verb '{verb}'{nearest(verb, VERBS)}", file=sys.stderr)
        return 2
    # Idle threads of torch's OpenMP sleep rather than spin: on a busy machine spinning costs several times the time.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return int(VERBS.load(verb)(words[1:]) or 0)
    except EspretError as error:
        print(f"espret {verb}: error: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print(f"espret {verb}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 141
    except OSError as error:
        if error.errno not in FULL:
            raise
        where = error.filename or os.getcwd()
        print(f"espret {verb}: error: {where}: {error.strerror}; mend: make room there, and run again", file=sys.stderr)
        return 1
