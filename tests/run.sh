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

. ./path.sh

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

if [[ "${only}" != pytest ]]; then lint; fi
if [[ "${only}" == lint ]]; then exit 0; fi
echo "== pytest"
if "${slow}"; then
  exec python3 -m pytest "${words[@]}"
fi
exec python3 -m pytest -m "not slow" "${words[@]}"
