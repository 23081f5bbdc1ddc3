"""Check data directories: the form of their files, and that the files agree with each other.

    espret validate [--no-text] DIR...

Prints every kind of problem with the first offending ids and the command that mends it; exit status 1 if there are any.
"""

from __future__ import annotations

import sys

from espret.bin import parser
from espret.data.validate import success, validate


def main(argv: list[str]) -> int:
    options = parser("validate", __doc__)
    options.add_argument("--no-text", action="store_true", help="captions may be absent")
    options.add_argument("dirs", nargs="+", metavar="DIR")
    args = options.parse_args(argv)
    failed = False
    for path in args.dirs:
        problems = validate(path, need_text=False if args.no_text else None)
        failed |= bool(problems)
        print("\n".join(problems) if problems else success(path), file=sys.stderr if problems else sys.stdout)
    return int(failed)
