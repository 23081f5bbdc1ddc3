#!/usr/bin/env bash
# Check data directories, under the name that Kaldi users know; `espret validate` does the work.
# Usage: utils/validate_data_dir.sh [--no-text] DIR...
# Needs only Python >= 3.10: the check itself uses nothing but the standard library.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
imports_espret() { (cd / && python3 -c '
import importlib.util, sys
sys.exit(importlib.util.find_spec("espret") is None)') 2>/dev/null; }
python=${ESPRET_PYTHON:-} # the order is that of path.sh
if [[ -z "${python}" ]]; then
  python=python3
  if ! imports_espret && [[ -x "${root}/tools/venv/bin/python3" ]]; then python=${root}/tools/venv/bin/python3; fi
fi
export PYTHONPATH="${root}${PYTHONPATH:+:${PYTHONPATH}}" PYTHONUTF8=1
exec "${python}" -m espret validate "$@"
