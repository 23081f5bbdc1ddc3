#!/usr/bin/env python3
"""Run a command, or an array of them, on this machine: run.py [options] [JOB=1:N] LOG COMMAND [WORD...]"""

import os
import sys

sys.path[0] = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))

from espret.jobs import main  # noqa: E402 (the package lies beside this folder, installed or not)

if __name__ == "__main__":
    status = main("local", "run.py", sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # taking the interpreter down in good order would cost every command milliseconds
