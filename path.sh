# shellcheck shell=bash
# The environment of espret: source it. It puts utils/ and espret's Python on PATH, and installs espret where it is absent.
#
# With ESPRET_PYTHON in the environment (run.sh --python) that interpreter is used, and nothing is installed.
# An active environment (conda, venv) that already imports espret and torch is used as it is; else tools/venv.
# A site's own settings (modules, proxies) go to an untracked local/path.sh of the recipe.

ESPRET_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export ESPRET_ROOT
# Files are sorted in the C locale, and are UTF-8. C.UTF-8 sorts as C does; in C itself Python 3.11 leaves out every package
# whose folder has a name that is not ASCII (PYTHONUTF8 does not reach the .pth files).
LC_ALL=C
if locale -a 2>/dev/null | grep -qix 'C\.utf-\{0,1\}8'; then LC_ALL=C.UTF-8; fi
export LC_ALL PYTHONUTF8=1 PYTHONUNBUFFERED=1

if [ -n "${ESPRET_PYTHON:-}" ]; then
  espret_bin=
elif ! espret_bin=$("${ESPRET_ROOT}/tools/install.sh" --print-bin); then
  echo "path.sh: espret is not installed; the lines above say why. Again: ${ESPRET_ROOT}/tools/install.sh" >&2
  return 1
fi
PATH="${espret_bin:+${espret_bin}:}${PATH}"
export PATH="${ESPRET_ROOT}/utils:${PATH}"
if [ -f local/path.sh ]; then . ./local/path.sh; fi
