"""How a command is run: the runners behind utils/run.py and utils/slurm.py. Only the standard library is used here.

`spec` reads the calling convention, `record` and `log` keep what a task leaves, `report` talks to the user; `local` (on
`guard`, which ends every process that a task started) and `slurm` (on `conf`, `sbatch`, `queue`) are the runners.
"""

from __future__ import annotations

import sys

from espret.errors import EspretError
from espret.registry import Registry

# One line a runner; utils/ has the script of each, and cmd.sh chooses between them.
RUNNERS = Registry(
    "job runner",
    {
        "local": "espret.jobs.local:main",
        "slurm": "espret.jobs.slurm:main",
    },
)


def main(name: str, script: str, argv: list[str]) -> int:
    """Run the runner `name` for its script; returns the exit status: 0 all tasks succeeded, 1 some failed, 2
    interrupted or wrongly called."""
    try:
        return int(RUNNERS.load(name)(argv))
    except EspretError as error:
        print(f"{script}: error: {error}", file=sys.stderr)
        return error.status
