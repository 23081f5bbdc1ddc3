#!/usr/bin/env bash
# Check data directories, under the name that Kaldi users know; `espret validate` does the work.
# Usage: utils/validate_data_dir.sh [--no-text] DIR...
# Needs only Python >= 3.10: the check itself uses nothing but the standard library.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
python=${root}/tools/venv/bin/python3
[[ -x "${python}" ]] || python=${ESPRET_PYTHON:-python3}
export PYTHONPATH="${root}${PYTHONPATH:+:${PYTHONPATH}}" PYTHONUTF8=1
exec "${python}" -m espret validate "$@"
