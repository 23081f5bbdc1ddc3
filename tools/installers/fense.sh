#!/usr/bin/env bash
# Install FENSE's networks into tools/fense (or $ESPRET_FENSE):
#   tools/installers/fense.sh [--check] [--tiny] [--from FOLDER | --mirror URL]
# The Python is $PYTHON, else that of tools/venv. See espret/scoring/fense/install.py.
set -euo pipefail
tools=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
exec "${PYTHON:-${tools}/venv/bin/python}" -m espret.scoring.fense.install "$@"
