"""utils/new_recipe.sh: a recipe for one's own corpus, and a whole run of it over audio of many formats."""

import csv
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from whole_recipes import run_recipe

from espret.data.datadir import DataDir
from espret.data.scenes import scene
from espret.files import read_jsonl

SIZES = {"train": 16, "valid": 6, "test": 6}


def new_recipe(repository: Path, word: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(repository / "utils/new_recipe.sh"), word], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done


def fill(recipe: Path) -> list[Path]:
    """Clips of the synthetic corpus in several formats, rates and channel counts, under names of every kind."""
    sounds = recipe / "downloads/my 'sounds'; $(x) & é"
    sounds.mkdir(parents=True)
    kinds = [("wav", 16000, 1), ("flac", 44100, 2), ("ogg", 22050, 1), ("mp3", 48000, 2)]
    paths = []
    with open(recipe / "local/captions.csv", "w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["split", "id", "audio", "caption"])
        for split, size in SIZES.items():
            for index in range(size):
                clip = scene(3, split, index)
                suffix, rate, channels = kinds[index % 4]
                path = sounds / f"- clip {split} {index}.{suffix}"
                count = len(clip.samples) * rate // clip.sample_rate
                samples = np.interp(
                    np.linspace(0, len(clip.samples) - 1, count), np.arange(len(clip.samples)), clip.samples
                )
                soundfile.write(path, np.stack([samples] * channels, 1), rate)
                paths.append(path)
                for caption in clip.captions:
                    table.writerow([split, clip.id, path.relative_to(recipe), caption])
    return paths


def tiny(recipe: Path) -> None:
    """One epoch is enough to see every stage."""
    for task in ("retrieval", "captioning"):
        path = recipe / f"conf/{task}/mini.yaml"
        system = yaml.safe_load(path.read_text())
        system["train"]["epochs"] = 1
        path.write_text(yaml.safe_dump(system, sort_keys=False))


def test_own_corpus_from_clone_to_report(repository, environment):
    assert "Next:" in new_recipe(repository, "egs/foo").stdout
    recipe = repository / "egs/foo"
    paths = fill(recipe)
    tiny(recipe)

    # Damaged clips stop stage 0, each named with its reason, until they are allowed to go.
    paths[0].write_bytes(paths[0].read_bytes()[:2000])
    paths[1].unlink()
    printed = run_recipe(recipe, environment, status=1)
    assert "data_issues.tsv" in printed and "--allow-missing" in printed
    issues = (recipe / "data/data_issues.tsv").read_text().splitlines()
    assert issues[0].split("\t") == ["split", "id", "path", "reason", "clip"]
    assert "truncated" in issues[1] and "missing" in issues[2] and len(issues) == 3
    assert not (recipe / "data/train").exists()

    assert "recordings decoded" in printed
    printed = run_recipe(recipe, environment, "--allow-missing", "2")
    assert "recordings decoded" not in printed  # what was done is not done again
    assert "Successfully finished." in printed and "SPIDEr" in printed and "RESULTS.md" in printed
    assert json.loads((recipe / "data/train/about.json").read_text())["clips"] == SIZES["train"] - 2
    for name in ("RESULTS.md", "report.html", "results.jsonl"):
        assert (recipe / name).stat().st_size > 300

    printed = run_recipe(recipe, environment, "--allow-missing", "2")
    assert "Nothing to do: everything is up to date." in printed

    # Stage 6, when asked for: archives that need nothing of the recipe.
    stage_6 = ("--allow-missing", "2", "--stage", "6", "--stop-stage", "6")
    assert "exp/captioning_mini/seed1/packed: done" in run_recipe(recipe, environment, *stage_6)
    assert "Nothing to do: everything is up to date." in run_recipe(recipe, environment, *stage_6)
    hyps = read_jsonl(recipe / "exp/captioning_mini/seed1/decode_test/hyp.jsonl")
    archive = recipe / "exp/captioning_mini/seed1/packed/foo_captioning_mini_seed1.zip"
    clips = [recipe / path for path in DataDir.load(recipe / "data/test").wav_scp.values()]
    command = [environment["PATH"].split(":")[0] + "/espret", "apply", str(archive), *map(str, clips)]
    applied = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=True).stdout
    assert applied.splitlines() == [f"{clip}\t{row['caption']}" for clip, row in zip(clips, hyps)]
    assert (recipe / "exp/retrieval_mini/seed1/packed/foo_retrieval_mini_seed1.zip").is_file()

    # Other spreading is no reason to do anything; one changed option redoes what depends on it.
    assert "Nothing to do" in run_recipe(recipe, environment, "--allow-missing=2", "--nj", "3", "--inference_nj=1")
    printed = run_recipe(
        recipe, environment, "--allow-missing=2", "--nj", "3", "--stage=1", "--stop-stage=1", "--force"
    )
    assert "3 steps done" in printed
    assert "Nothing to do" in run_recipe(recipe, environment, "--allow-missing=2")
    path = recipe / "conf/captioning/mini.yaml"
    path.write_text(path.read_text().replace("nbest: 3", "nbest: 2"))
    printed = run_recipe(recipe, environment, "--allow-missing", "2")
    assert "exp/captioning_mini/seed1/decode_test is stale: conf decode.nbest 3 -> 2" in printed
    assert "seed1: done" not in printed and "retrieval_mini" not in printed.replace("retrieval_mini  ", "")
    assert "decode_test: done" in printed and "score_test: done" in printed
    # The table keeps what other runs have scored.
    assert "Nothing to do" in run_recipe(recipe, environment, "--allow-missing=2", "--task", "captioning")
    assert "## Retrieval" in (recipe / "RESULTS.md").read_text()
    printed = run_recipe(recipe, environment, "--allow-missing=2", "--task", "retrieval", "--test-sets", "valid test")
    assert "score_valid: done" in printed and "seed1: done" not in printed
    assert "Nothing to do" in run_recipe(recipe, environment, "--allow-missing=2")


@pytest.mark.parametrize(
    "word, message", [("Foo", "lower-case"), ("egs/../x/a b", "lower-case"), ("mini", "exists already")]
)
def test_refusals(repository, word, message):
    before = sorted((repository / "egs").iterdir())
    assert message in new_recipe(repository, word, status=1).stderr
    assert sorted((repository / "egs").iterdir()) == before


def test_nothing_of_a_new_recipe_speaks_of_mini(repository):
    new_recipe(repository, "foo")
    for task in ("Retrieval", "Captioning"):
        made = (repository / f"egs/foo/conf/{task.lower()}/mini.yaml").read_text()
        original = (repository / f"egs/mini/conf/{task.lower()}/mini.yaml").read_text()
        assert made.startswith(f"# {task} on egs/foo: ")
        assert made.partition("\n")[2] == original.partition("\n")[2]
    texts = [path.read_text() for path in (repository / "egs/foo").rglob("*") if path.is_file()]
    assert len(texts) > 4 and not any("egs/mini" in text for text in texts)


def test_usage(repository):
    done = subprocess.run([str(repository / "utils/new_recipe.sh")], capture_output=True, text=True)
    assert done.returncode == 2 and "utils/new_recipe.sh egs/foo" in done.stderr


def test_data_of_the_users_own_is_taken_as_it_is(repository, environment):
    """A Kaldi user's data directory, made by no stage."""
    new_recipe(repository, "foo")
    recipe = repository / "egs/foo"
    fill(recipe)
    tiny(recipe)
    run_recipe(recipe, environment, "--stop-stage", "0")
    for split in SIZES:
        (recipe / f"data/{split}/.espret.json").unlink()
    printed = run_recipe(recipe, environment, "--stage", "1", "--stop-stage", "2")
    assert "dump/logmel/train: done" in printed
    assert "was not made by this recipe, and stage 0 would replace it" in run_recipe(recipe, environment, status=1)
    text = recipe / "data/train/text"
    text.write_text("".join(reversed(text.read_text().splitlines(keepends=True))))
    printed = run_recipe(recipe, environment, "--stage", "1", "--stop-stage", "2", status=1)
    assert "data/train is not a valid data directory" in printed and "text" in printed


KALDI_LIKE = """#!/usr/bin/env bash
# A runner that knows Kaldi's calling convention and nothing else.
echo "$*" >> "$(dirname "$0")/calls"
while [[ "$1" == --* ]]; do shift 2; done
name=JOB first=1 last=1
if [[ "$1" =~ ^([A-Za-z_]+)=([0-9]+):([0-9]+)$ ]]; then
  name=${BASH_REMATCH[1]} first=${BASH_REMATCH[2]} last=${BASH_REMATCH[3]} && shift
fi
log=$1 && shift
for ((job = first; job <= last; job++)); do
  mkdir -p "$(dirname "${log}")"
  "${@//${name}/${job}}" > "${log//${name}/${job}}" 2>&1 || exit 1
done
"""


def test_any_kaldi_compatible_runner(repository, environment):
    new_recipe(repository, "foo")
    recipe = repository / "egs/foo"
    fill(recipe)
    tiny(recipe)
    (repository / "utils/other.pl").write_text(KALDI_LIKE)
    (repository / "utils/other.pl").chmod(0o755)
    commands = 'cpu_cmd="other.pl --mem 4G" cuda_cmd="other.pl --mem 9G" decode_cmd="other.pl"'
    (repository / "cmd.sh").write_text(f"# shellcheck shell=bash\n{commands}\n")
    printed = run_recipe(recipe, environment, "--task", "retrieval")
    assert "Successfully finished." in printed and "    epoch 1/1 " in printed
    calls = (repository / "utils/calls").read_text()
    assert "--mem 9G --gpu 0 " in calls and "JOB=1:2" in calls and "run.py" not in calls
