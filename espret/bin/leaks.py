"""Overlap between data directories: by clip id, by origin of the sound (YouTube, Freesound), by caption.

    espret leaks DIR DIR [DIR...]                        every pair, as a table
    espret leaks --train DIR --test DIR [--declared conf/leaks.yaml] [--out leaks.json]

The second form is for recipes: exit status 1 where a training clip is in a test or validation set too and the overlap
is not declared. Captions that both have are reported, never refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from espret.bin import parser
from espret.data.leaks import Declared, Overlap, Side, kind_name, load_declared, overlaps, reason, undeclared
from espret.errors import EspretError
from espret.files import write_json

Found = list[tuple[Side, Side, Overlap]]


def main(argv: list[str]) -> int:
    """Compare and print; 1 (by EspretError) for an overlap that is not declared."""
    options = parser("leaks", __doc__)
    options.add_argument("dirs", nargs="*", metavar="DIR", help="data directories, each compared with each")
    options.add_argument("--train", action="append", default=[], metavar="DIR", help="what is trained on; repeatable")
    options.add_argument("--test", action="append", default=[], metavar="DIR", help="test or validation; repeatable")
    options.add_argument("--declared", metavar="YAML", help="overlaps that the recipe declares")
    options.add_argument("--out", metavar="FILE", help="JSON to write, for the results")
    args = options.parse_args(argv)
    if args.dirs:
        if args.train or args.test or args.declared or args.out or len(args.dirs) < 2:
            options.error("expected two or more DIR and no option, or --train and --test")
        sides = [Side.load(path) for path in args.dirs]
        _print(sides, list(combinations(sides, 2)))
        return 0
    if not args.train or not args.test:
        options.error("expected --train and --test, or two or more DIR")
    declared = load_declared(args.declared) if args.declared else []
    trains, tests = [[Side.load(path) for path in paths] for paths in (args.train, args.test)]
    found = _print([*trains, *tests], [(train, test) for train in trains for test in tests])
    if problem := undeclared(found, declared, args.declared or "conf/leaks.yaml"):
        raise EspretError(problem)
    if args.out:
        write_json(args.out, _as_json(trains, tests, found, declared))
    return 0


def _print(sides: Sequence[Side], pairs: Sequence[tuple[Side, Side]]) -> Found:
    """Print what is known of the directories and what each pair shares; the overlaps."""
    for side in sides:
        print(f"{side.path}: {side.clips} clips{_ambiguous(side)}")
    for line in _unknown(sides):
        print(line)
    found: Found = []
    rows: list[tuple[str, ...]] = [("first", "second", "share", "number", "in the first", "in the second", "such as")]
    for first, second in pairs:
        shared = overlaps(first, second)
        found += [(first, second, overlap) for overlap in shared]
        rows += [(first.path, second.path, *_cells(overlap)) for overlap in shared]
        if not shared:
            rows.append((first.path, second.path, "nothing", "", "", "", ""))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    return found


def _ambiguous(side: Side) -> str:
    if not side.captions:
        return ""
    several = f", {side.ambiguous} of them ({side.sentences} sentences) said of several clips" if side.ambiguous else ""
    return f", {side.captions} captions{several}"


def _unknown(sides: Sequence[Side]) -> Iterable[str]:
    """What cannot be found because the origins are not known: a line for each kind that others have."""
    kinds = sorted({kind for side in sides for kind in side.origins()})
    if not kinds:
        yield "no YouTube or Freesound ids known in any: the same sound under two ids is not seen"
    for side in sides:
        for kind in kinds:
            known = side.known(kind)
            if not known:
                yield f"no {kind_name(kind)} known in {side.path}"
            elif known < side.clips:
                yield f"{kind_name(kind)} known of {known} of {side.clips} clips in {side.path}"


def _cells(overlap: Overlap) -> tuple[str, ...]:
    first = f"{overlap.in_train} of {overlap.of_train}"
    second = f"{overlap.in_test} of {overlap.of_test}"
    return kind_name(overlap.kind), str(overlap.shared), first, second, "; ".join(overlap.examples)


def _as_json(trains: Sequence[Side], tests: Sequence[Side], found: Found, declared: Sequence[Declared]) -> object:
    directories = {
        side.name: {
            "clips": side.clips,
            "captions": side.captions,
            "ambiguous": side.ambiguous,
            "origins": {kind: side.known(kind) for kind in side.origins()},
        }
        for side in (*trains, *tests)
    }
    pairs = [{**overlap.as_json(), "declared": reason(overlap, train.variant, declared)} for train, _, overlap in found]
    return {
        "train": sorted({side.name for side in trains}),
        "test": sorted({side.name for side in tests}),
        "directories": dict(sorted(directories.items())),
        "pairs": sorted(pairs, key=lambda pair: (pair["train"], pair["test"], pair["kind"])),
    }
