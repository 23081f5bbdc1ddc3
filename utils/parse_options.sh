# shellcheck shell=bash
# Options of a recipe: declared once, with default and help, then set from the command line. Source it.
#
#   option nj 4 "parallel CPU jobs"     # declares --nj (variable ${nj}), its default and its line in --help
#   parse_options "$@"                  # sets the variables; later words win, the command line beats --config FILE
#
# As in Kaldi: '-' and '_' in names are the same, an option that was not declared is an error, and an option whose
# default is true or false takes nothing else. Besides: `--opt=value`, flags without a value (`--force`), and no value
# is ever evaluated: quotes, blanks, `$(...)` and `;` in values are plain text.

option_names=()
declare -A option_help=()

option() { # option NAME DEFAULT HELP
  option_names+=("$1")
  option_help[$1]=$3
  printf -v "$1" '%s' "$2"
}

option_error() {
  echo "$(basename -- "$0"): error: $1" >&2
  echo "  see: $0 --help" >&2
  exit 2
}

option_known() { [[ "$1" =~ ^[a-z][a-z0-9_]*$ && -n "${option_help[$1]+x}" ]]; }

# The declared name nearest to a mistyped one (fewest single-letter edits).
option_nearest() {
  local name best="" score least=99
  for name in "${option_names[@]}"; do
    score=$(awk -v a="$1" -v b="${name}" 'BEGIN {
      n = length(a); m = length(b)
      for (j = 0; j <= m; j++) d[0, j] = j
      for (i = 1; i <= n; i++) {
        d[i, 0] = i
        for (j = 1; j <= m; j++) {
          c = d[i-1, j-1] + (substr(a, i, 1) != substr(b, j, 1))
          if (d[i-1, j] + 1 < c) c = d[i-1, j] + 1
          if (d[i, j-1] + 1 < c) c = d[i, j-1] + 1
          d[i, j] = c
        }
      }
      print d[n, m]
    }')
    if ((score < least)); then least=${score} best=${name}; fi
  done
  echo "--${best//_/-}"
}

option_set() { # option_set NAME VALUE WHERE
  local name=${1//-/_}
  if ! option_known "${name}"; then
    option_error "$3: unknown option --$1; did you mean $(option_nearest "${name}")?"
  fi
  if [[ "${!name}" == true || "${!name}" == false ]] && [[ "$2" != true && "$2" != false ]]; then
    option_error "$3: --$1 is true or false, not '$2'"
  fi
  printf -v "${name}" '%s' "$2"
}

# A configuration file: one `name=value` a line, quotes around the value allowed, `#` comments; read, never executed.
option_config() {
  [[ -f "$1" ]] || option_error "--config $1: no such file"
  local line number=0
  while IFS= read -r line || [[ -n "${line}" ]]; do
    number=$((number + 1))
    [[ "${line}" =~ ^[[:space:]]*(#.*)?$ ]] && continue
    if [[ "${line}" =~ ^[[:space:]]*([A-Za-z][A-Za-z0-9_-]*)=\"([^\"]*)\"[[:space:]]*(#.*)?$ ]] ||
      [[ "${line}" =~ ^[[:space:]]*([A-Za-z][A-Za-z0-9_-]*)=\'([^\']*)\'[[:space:]]*(#.*)?$ ]] ||
      [[ "${line}" =~ ^[[:space:]]*([A-Za-z][A-Za-z0-9_-]*)=([^[:space:]\"\'#]*)[[:space:]]*(#.*)?$ ]]; then
      option_set "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "$1:${number}"
    else
      option_error "$1:${number}: expected name=value or name=\"a value\", found: ${line}"
    fi
  done <"$1"
}

option_show_help() {
  local name value
  echo "Usage: $0 [--option value | --option=value]..."
  echo
  for name in "${option_names[@]}"; do
    value=${!name}
    [[ "${value}" =~ ^[A-Za-z0-9_./-]+$ ]] || value="\"${value}\""
    printf '  --%-20s %s (%s)\n' "${name//_/-}" "${option_help[${name}]}" "${value}"
  done
  printf '  --%-20s %s\n' config "file of name=value lines, read before the command line" help "this text"
}

parse_options() {
  local word name value words=("$@") help=false i
  for ((i = 0; i < ${#words[@]}; i++)); do # --config first: the command line wins over it
    case "${words[i]}" in
      --config=*) option_config "${words[i]#*=}" ;;
      --config)
        ((i + 1 < ${#words[@]})) || option_error "--config needs a file"
        option_config "${words[i + 1]}"
        ;;
    esac
  done
  for ((i = 0; i < ${#words[@]}; i++)); do
    word=${words[i]}
    case "${word}" in
      --help | -h) help=true && continue ;;
      --config=*) continue ;;
      --config) i=$((i + 1)) && continue ;;
      --*=*)
        name=${word%%=*}
        option_set "${name#--}" "${word#*=}" "command line"
        continue
        ;;
      --?*) ;;
      *) option_error "unexpected word '${word}'; options start with --" ;;
    esac
    name=${word#--} value="${words[i + 1]-}"
    if option_known "${name//-/_}"; then
      local variable=${name//-/_}
      if [[ "${!variable}" == true || "${!variable}" == false ]] && [[ -z "${value}" || "${value}" == -* ]]; then
        option_set "${name}" true "command line" # a flag given without a value
        continue
      fi
      ((i + 1 < ${#words[@]})) || option_error "--${name} needs a value"
    fi
    option_set "${name}" "${value}" "command line"
    i=$((i + 1))
  done
  if [[ "${help}" == true ]]; then
    option_show_help
    exit 0
  fi
}
