#!/usr/bin/env bash
# Install espret: a virtual environment in tools/venv with the pinned, tested versions, and SPICE's parser in tools/spice.
#
#   tools/install.sh                  install, or finish an interrupted installation; at once when nothing is to do
#   tools/install.sh --python PY      make the environment from this interpreter; if it already has torch (your own build),
#                                     that torch is used instead of the pinned one
#   tools/install.sh --force          start afresh
#   tools/install.sh --print-bin      for path.sh: install if needed, print the folder to put on PATH ("" for an active
#                                     environment that already imports espret)
#
# Needs Linux, Python >= 3.10 with venv, and a connection to the package index that pip is set up for. No root, no Java.
set -euo pipefail

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "${tools}")
venv=${tools}/venv
stamp=${venv}/.espret-installed

say() { echo "install.sh: $*" >&2; }
die() {
  say "error: $1"
  exit 1
}

# Every imported package is asked for by name without importing it: torch alone would take seconds.
active_imports_espret() {
  local python
  python=$(command -v python3) || return 1
  [[ "${python}" != "${venv}/bin/python3" ]] || return 1
  (cd / && "${python}" -c '
import importlib.util, sys
sys.exit(not all(importlib.util.find_spec(name) for name in ("espret", "torch", "kaldiio", "jsonargparse")))' 2>/dev/null)
}

wanted_stamp() { cat "${tools}/requirements.lock" "${root}/setup.py" | cksum; }

is_installed() { [[ -f "${stamp}" && "$(head -n 1 "${stamp}")" == "$(wanted_stamp)" && -x "${venv}/bin/python3" ]]; }

check_python() { # check_python PYTHON
  command -v "$1" >/dev/null || die "no interpreter '$1'; install Python >= 3.10, or name one: tools/install.sh --python PY"
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    die "$1 is $("$1" --version 2>&1); espret needs Python >= 3.10: tools/install.sh --python PY"
  "$1" -c 'import venv, ensurepip' 2>/dev/null ||
    die "$1 has no venv module; on Debian and Ubuntu: apt-get install python3-venv"
}

finds_torch() { # finds_torch PYTHON
  "$1" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)'
}

# The interpreter's path, and on a second line what tells it from others whatever the name it is called by.
describe_python() { # describe_python PYTHON
  "$1" -c 'import os, sys; print(sys.executable, sys.prefix + ":" + os.path.realpath(sys.executable), sep="\n")'
}

# An environment made from a virtual one sees the packages of the interpreter below it, not those of the virtual one.
share_packages() { # share_packages PYTHON
  local folders
  folders=$("$1" -c 'import sysconfig; print(sorted({sysconfig.get_path(name) for name in ("purelib", "platlib")}))') ||
    return 1
  "${venv}/bin/python3" -c '
import ast, os, sys, sysconfig
with open(os.path.join(sysconfig.get_path("purelib"), "espret-shared.pth"), "w") as stream:
    for folder in ast.literal_eval(sys.argv[1]):
        print(f"import site; site.addsitedir({ascii(folder)})", file=stream)' "${folders}"
}

make_venv() { # make_venv PYTHON
  [[ -f "${venv}/.made" ]] && return
  rm -rf -- "${venv}"
  local site=()
  if finds_torch "$1"; then
    say "using the torch of $1"
    site=(--system-site-packages)
  fi
  say "making tools/venv from $("$1" --version) ($(command -v "$1"))"
  "$1" -m venv "${site[@]}" "${venv}"
  if ((${#site[@]})) && ! finds_torch "${venv}/bin/python3"; then
    { share_packages "$1" && finds_torch "${venv}/bin/python3"; } ||
      die "a virtual environment made from $1 does not find its torch; install espret beside that torch instead:
  $(printf '%q -m pip install -e %q' "$1" "${root}")"
  fi
  describe_python "$1" >"${venv}/.made.tmp"
  mv "${venv}/.made.tmp" "${venv}/.made"
}

check_same_python() { # check_same_python PYTHON
  [[ -f "${venv}/.made" && "$(sed -n 2p "${venv}/.made")" != "$(describe_python "$1" | sed -n 2p)" ]] || return 0
  local made_from
  made_from=$(sed -n 1p "${venv}/.made")
  die "tools/venv is made from ${made_from:-another interpreter}; --force makes it anew from $1"
}

# An installation that was killed can leave a package whose metadata says "installed" but whose files are not all there;
# pip writes RECORD last, so a package without one is taken away and installed again.
remove_torn_packages() {
  local info
  for info in "${venv}"/lib/python3*/site-packages/*.dist-info; do
    [[ -d "${info}" && ! -f "${info}/RECORD" ]] || continue
    say "removing the half-installed $(basename "${info}" .dist-info)"
    rm -rf -- "${info}"
  done
}

install_packages() {
  local python=${venv}/bin/python3 lock=${tools}/requirements.lock
  if grep -q 'include-system-site-packages = true' "${venv}/pyvenv.cfg"; then
    # A torch of the user's own: its version stays, and its companions' with it.
    lock=${venv}/.constraints
    grep -vE '^(torch|torchaudio|triton|nvidia-|cuda-)' "${tools}/requirements.lock" >"${lock}"
  fi
  say "installing the packages pinned in tools/requirements.lock (torch is large; some minutes)"
  # A file for the constraints and the project, both through the working directory: pip splits neither at blanks there.
  (cd "${root}" && PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT='' \
    "${python}" -m pip install --quiet --constraint "${lock#"${root}/"}" --editable '.[test]') ||
    die "pip failed (see above); what is done is kept: run tools/install.sh again"
}

install_spice() {
  if ! "${tools}/installers/spice.sh"; then
    say "warning: SPICE's parser was not installed; all else works, SPIDEr is reported as unavailable."
    say "         Again, when there is a connection: tools/install.sh"
  fi
}

# What METEOR would make at the first scoring: an index of its paraphrases.
prepare_scoring() {
  say "preparing METEOR (15 s)"
  "${venv}/bin/python3" -m espret.scoring.meteor.prepare || say "warning: METEOR will be prepared when it first scores"
}

python='' force=false print_bin=false
while (($#)); do
  case "$1" in
    --python) python=${2:?--python needs an interpreter} && shift ;;
    --python=*) python=${1#*=} ;;
    --force) force=true ;;
    --print-bin) print_bin=true ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" && exit 0 ;;
    *) die "unknown option '$1'; see tools/install.sh --help" ;;
  esac
  shift
done

if "${print_bin}"; then
  if active_imports_espret; then exit 0; fi
  if is_installed; then echo "${venv}/bin" && exit 0; fi
  say "espret is not installed yet; installing it to ${venv}"
fi

exec 9>"${tools}/.install.lock"
if ! flock --nonblock 9; then
  say "another installation is running; waiting for it"
  flock 9
fi
if [[ -n "${python}" ]]; then
  check_python "${python}"
  if ! "${force}"; then check_same_python "${python}"; fi
fi
if "${force}"; then rm -rf -- "${venv}"; fi
if ! is_installed; then
  check_python "${python:=python3}"
  make_venv "${python}"
  remove_torn_packages
  install_packages >&2
  install_spice >&2
  prepare_scoring >&2
  wanted_stamp >"${stamp}.tmp"
  mv "${stamp}.tmp" "${stamp}"
  say "done: $("${venv}/bin/python3" -c 'import espret; print("espret", espret.__version__)') in ${venv}"
elif ! "${print_bin}"; then
  install_spice >&2 # at once when it is there
  say "nothing to do: $("${venv}/bin/python3" --version) and the packages are in ${venv}"
fi
if "${print_bin}"; then echo "${venv}/bin"; fi
