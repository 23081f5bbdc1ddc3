#!/usr/bin/env bash
# Pass the tests of espret: linters, then pytest. It installs espret first where it is not installed.
#
#   tests/run.sh                 what everyone runs: under 15 minutes on 2 cores
#   tests/run.sh --slow          the slow tests too: whole recipes, several seeds, kills, Slurm
#   tests/run.sh --only lint|pytest   one half
#   tests/run.sh tests/jobs -k quoting   other words go to pytest
#
# Slurm tests run where Slurm and root are at hand (tests/slurm/start_slurm.sh --install), Java tests where SPICE's parser
# is installed; else they skip and say why. ESPRET_TEST_DATA may name a folder with real clips, see tests/README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

slow=false only=all words=()
while (($#)); do
  case "$1" in
    --slow) slow=true ;;
    --only) only=${2:?--only lint or --only pytest} && shift ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' tests/run.sh && exit 0 ;;
    *) words+=("$1") ;;
  esac
  shift
done
case "${only}" in
  all | lint | pytest) ;;
  *) echo "run.sh: error: --only ${only}: expected lint or pytest" >&2 && exit 2 ;;
esac

. ./path.sh

# What a recipe's environment need not have: all that is absent is named before anything runs.
require() { # require MODULE_OR_COMMAND...
  local name python absent=()
  python=$(command -v python3)
  for name in "$@"; do
    case "${name}" in
      git | shellcheck) command -v "${name}" >/dev/null || absent+=("${name}") ;;
      *) "${python}" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)' "${name}" ||
        absent+=("${name}") ;;
    esac
  done
  ((${#absent[@]})) || return 0
  echo "run.sh: error: the tests need what is not installed: ${absent[*]}" >&2
  if [[ "${absent[*]}" != git ]]; then
    printf "  mend: cd %q && %q -m pip install -e '.[test]'\n" "${PWD}" "${python}" >&2
  fi
  if [[ " ${absent[*]} " == *" git "* ]]; then echo "  mend: install git from your system's packages" >&2; fi
  return 1
}

lint() {
  echo "== ruff, mypy, shellcheck"
  python3 -m ruff check .
  python3 -m ruff format --check --quiet .
  python3 -m mypy
  # Every shell file: by name, or by its first line.
  git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do
      [[ -f "${file}" ]] || continue
      if [[ "${file}" == *.sh ]] || head -c 64 -- "${file}" | head -n 1 | grep -qa '^#!.*bash'; then printf '%s\0' "${file}"; fi
    done | xargs -0 shellcheck
  if [[ -n "$(git ls-files --stage | grep '^120000' || true)" ]]; then
    echo "symbolic links do not belong in the repository:" && git ls-files --stage | grep '^120000' && return 1
  fi
}

if [[ "${only}" != pytest ]]; then require ruff mypy shellcheck git; fi
if [[ "${only}" != lint ]]; then require pytest pytest_timeout; fi
if [[ "${only}" != pytest ]]; then lint; fi
if [[ "${only}" == lint ]]; then exit 0; fi
echo "== pytest"
if "${slow}"; then
  exec python3 -m pytest "${words[@]}"
fi
exec python3 -m pytest -m "not slow" "${words[@]}"
