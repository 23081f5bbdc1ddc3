"""Use a packed system (stage 6) on sound files of any format.

    espret apply CAPTIONING.zip AUDIO...                   prints: path <TAB> caption
    espret apply RETRIEVAL.zip AUDIO... --query SENTENCE   prints: query <TAB> rank <TAB> similarity <TAB> path

With --json a row is a JSON object: a clip with its caption, score and nbest, or a query with its clips, ranked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from espret.bin import parser
from espret.errors import EspretError

if TYPE_CHECKING:
    from espret.packing import PackedCaptioner, PackedRetriever

USAGE = 2  # exit status


def main(argv: list[str]) -> int:
    """`espret apply PACK.zip AUDIO... [--query SENTENCE]...`."""
    options = parser("apply", __doc__)
    options.add_argument("pack", metavar="PACK.zip", help="archive made by espret pack")
    options.add_argument("audio", nargs="+", metavar="AUDIO", help="sound files")
    options.add_argument("--query", action="append", default=[], metavar="SENTENCE", help="rank by it; may be repeated")
    options.add_argument("--ngpu", type=int, default=0, help="0: CPU (default), 1: GPU")
    options.add_argument("--json", action="store_true", help="print JSON Lines")
    args = options.parse_intermixed_args(argv)

    from espret.packing import PackedCaptioner, load
    from espret.training.distributed import choose_device

    packed = load(args.pack, choose_device(args.ngpu))
    if isinstance(packed, PackedCaptioner):
        if args.query:
            raise EspretError(f"{args.pack}: a captioning system takes no --query", USAGE)
        lines = _captions(packed, args.audio, args.json)
    else:
        if not args.query:
            raise EspretError(f"{args.pack}: a retrieval system needs --query SENTENCE", USAGE)
        lines = _ranks(packed, args.audio, args.query, args.json)
    _write(lines)
    return 0


def _captions(packed: PackedCaptioner, audio: list[str], as_json: bool) -> Iterator[str]:
    for row in packed.caption(audio):
        yield json.dumps(row) if as_json else f"{row['path']}\t{row['caption']}"


def _ranks(packed: PackedRetriever, audio: list[str], queries: list[str], as_json: bool) -> Iterator[str]:
    for query, matches in zip(queries, packed.rank_all(queries, audio)):
        if as_json:
            yield json.dumps({"query": query, "clips": [match._asdict() for match in matches]})
            continue
        for rank, match in enumerate(matches, 1):
            yield f"{query}\t{rank}\t{match.similarity:.4f}\t{match.path}"


def _write(lines: Iterator[str]) -> None:
    """Lines to standard output as UTF-8; a path that is none comes out as the bytes that it went in."""
    sys.stdout.flush()
    for line in lines:
        sys.stdout.buffer.write(f"{line}\n".encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()
