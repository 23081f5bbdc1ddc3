"""`python -m espret.recipe`: called at the end of utils/recipe.sh with the plan; not meant to be typed."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from espret.errors import EspretError
from espret.recipe import status
from espret.recipe.plan import read_plan
from espret.recipe.runner import Choice, Runner, say


def main() -> int:
    """Run, list or show the plan; returns the exit status."""
    options = _parse()
    # Ctrl-C and TERM between two commands: end like a shell would, without a traceback.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    try:
        plan = read_plan(Path(options.plan).read_bytes())
        skip = {int(word) for word in options.skip_stages.split()}
        choice = Choice(int(options.stage), int(options.stop_stage), skip, options.force == "true")
        if options.status == "true":
            status.print_status(plan)
        elif options.list == "true":
            status.print_list(plan)
        elif options.dry_run == "true":
            status.print_dry_run(plan, choice)
        else:
            Runner(plan, choice).run()
    except EspretError as error:
        say(f"error: {error}")
        return error.status
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m espret.recipe", description=__doc__, allow_abbrev=False)
    parser.add_argument("--plan", required=True, help="the steps, as NUL-terminated words")
    for name in ("stage", "stop-stage", "skip-stages", "force", "status", "list", "dry-run"):
        parser.add_argument(f"--{name}", required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
