#!/usr/bin/env bash
# Make a recipe for your own corpus: utils/new_recipe.sh egs/foo
#
# It makes egs/foo with run.sh, the two small systems of egs/mini, and local/data.py, whose function clips() yields
# (split, clip id, audio path, captions). That function is what is left to adapt: as it is, it reads local/captions.csv.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
die() {
  echo "new_recipe.sh: error: $*" >&2
  exit 1
}
if [[ $# != 1 || "$1" == -* ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
  exit 2
fi
name=$(basename -- "$1")
recipe=${root}/egs/${name}
[[ "${name}" =~ ^[a-z][a-z0-9_]*$ ]] || die "'${name}': a recipe is named by lower-case letters, digits and '_'"
[[ "$1" == "${name}" || "$1" == egs/"${name}" || "$1" == "${recipe}" ]] ||
  die "'$1': recipes lie in egs/; say egs/${name}"
[[ ! -e "${recipe}" ]] || die "${recipe} exists already"

work=$(mktemp -d "${root}/egs/.${name}.XXXXXX")
trap 'rm -rf -- "${work}"' EXIT
mkdir -p "${work}/local"
cp -R "${root}/egs/mini/conf" "${work}/conf"
rm -f "${work}/conf/slurm.local.conf"
for task in Retrieval Captioning; do # the first line of a system says what it is, of egs/mini
  config=${work}/conf/${task,,}/mini.yaml
  {
    echo "# ${task} on egs/${name}: a small system to start from, trained on the CPU. Enlarge it as your corpus allows."
    sed '1{/^#/d;}' "${root}/egs/mini/conf/${task,,}/mini.yaml"
  } >"${config}"
done

cat >"${work}/run.sh" <<EOF
#!/usr/bin/env bash
# egs/${name}: retrieval and captioning on the clips of local/data.py. \`./run.sh --help\` lists the options.
cd "\$(dirname "\${BASH_SOURCE[0]}")" || exit 1

. ../../utils/recipe.sh \\
  --corpus ${name} \\
  --train-set train \\
  --valid-set valid \\
  --test-sets test \\
  --retrieval-config conf/retrieval/mini.yaml \\
  --captioning-config conf/captioning/mini.yaml \\
  "\$@"
EOF
cat >"${work}/local/data.py" <<EOF
"""The clips of egs/${name}: say here what the corpus is, where it comes from, and its licence.

As it is, it reads local/captions.csv with the columns split, id, audio, caption; a clip with several captions has a row
for each. Change \`clips\` to read your corpus as it comes: only the four things that it yields matter.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

TABLE = Path("local/captions.csv")


def clips() -> Iterator[tuple[str, str, Path, list[str]]]:
    """Yield (split, clip id, audio path, captions) for every clip; paths are relative to the recipe's folder."""
    captions: dict[tuple[str, str, str], list[str]] = {}
    with TABLE.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            captions.setdefault((row["split"], row["id"], row["audio"]), []).append(row["caption"])
    for (split, clip, audio), texts in captions.items():
        yield split, clip, Path(audio), texts
EOF
chmod +x "${work}/run.sh"
chmod 755 "${work}"
mv -- "${work}" "${recipe}"
trap - EXIT
cat <<EOF
Made egs/${name}. Next:
  1. write clips() in egs/${name}/local/data.py (or put your clips into egs/${name}/local/captions.csv)
  2. egs/${name}/run.sh --stage 0 --stop-stage 0     prepares and checks the data
  3. egs/${name}/run.sh                               does the rest, to RESULTS.md and report.html
EOF
