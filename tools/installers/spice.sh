#!/usr/bin/env bash
# Install SPICE's parser into tools/spice (or $ESPRET_SPICE): tools/installers/spice.sh [--check]
# The Python is $PYTHON, else that of tools/venv. See espret/scoring/spice/install.py.
set -euo pipefail
tools=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
exec "${PYTHON:-${tools}/venv/bin/python}" -m espret.scoring.spice.install "$@"
