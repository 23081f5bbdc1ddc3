"""utils/parse_options.sh: the options of a recipe."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "utils/parse_options.sh"
RECIPE = f"""
. '{SCRIPT}'
option stage 0 "first stage"
option stop_stage 5 "last stage, 100% of it"
option test_sets "a b" "test sets"
option force false "again"
parse_options "$@"
printf '%s|%s|%s|%s\\n' "$stage" "$stop_stage" "$test_sets" "$force"
"""


def parse(*words, cwd=None):
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", RECIPE, "./run.sh", *words], capture_output=True, text=True, cwd=cwd
    )


@pytest.mark.parametrize(
    "words, expected",
    [
        ([], "0|5|a b|false"),
        (["--stage", "2"], "2|5|a b|false"),
        (["--stage=2", "--stop_stage=3"], "2|3|a b|false"),
        (["--stop-stage", "3", "--stop_stage", "4"], "0|4|a b|false"),
        (["--test-sets", "x y z"], "0|5|x y z|false"),
        (["--test-sets="], "0|5||false"),
        (["--test-sets=a=b"], "0|5|a=b|false"),
        (["--force"], "0|5|a b|true"),
        (["--force", "--stage", "1"], "1|5|a b|true"),
        (["--force", "false"], "0|5|a b|false"),
        (["--force=true"], "0|5|a b|true"),
    ],
)
def test_values(words, expected):
    result = parse(*words)
    assert result.stderr == ""
    assert result.stdout.strip() == expected


def test_no_value_is_evaluated(tmp_path):
    nasty = "$(touch hacked) `touch hacked`; touch hacked; \"'\\ é"
    result = parse("--test-sets", nasty, cwd=tmp_path)
    assert result.stdout == f"0|5|{nasty}|false\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words, message",
    [
        (["--stop-stag", "3"], "unknown option --stop-stag; did you mean --stop-stage?"),
        (["--PATH", "/x"], "unknown option --PATH"),
        (["--option_names", "x"], "unknown option --option_names"),
        (["--stage"], "--stage needs a value"),
        (["--force=maybe"], "--force is true or false, not 'maybe'"),
        (["stage"], "unexpected word 'stage'"),
        (["--force", "maybe"], "--force is true or false, not 'maybe'"),
        (["--config", "no such file"], "--config no such file: no such file"),
        (["--config"], "--config needs a file"),
    ],
)
def test_errors(words, message):
    result = parse(*words)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_help_is_the_declaration():
    result = parse("--stage", "3", "--help")
    assert result.returncode == 0
    assert "--stop-stage" in result.stdout and "last stage, 100% of it (5)" in result.stdout
    assert "first stage (3)" in result.stdout  # what run.sh set before is the recipe's default


def test_config_file_loses_to_the_command_line(tmp_path):
    config = tmp_path / "my options.conf"
    config.write_text("# site\nstage=1\nstop-stage=\"2\"  # comment\ntest_sets='c d'\n\nforce=true")
    assert parse("--config", str(config)).stdout.strip() == "1|2|c d|true"
    assert parse("--stage", "4", f"--config={config}").stdout.strip() == "4|2|c d|true"


@pytest.mark.parametrize("line", ["touch hacked", "stage=$(touch hacked) x", "stage 3", 'stage="1'])
def test_config_file_is_read_not_run(tmp_path, line):
    (tmp_path / "x.conf").write_text(f"# one\n{line}\n")
    result = parse("--config", "x.conf", cwd=tmp_path)
    assert result.returncode == 2
    assert "x.conf:2: expected name=value" in result.stderr
    assert not (tmp_path / "hacked").exists()


def test_config_file_with_an_unknown_name(tmp_path):
    (tmp_path / "x.conf").write_text("stagee=1\n")
    result = parse("--config", "x.conf", cwd=tmp_path)
    assert "x.conf:1: unknown option --stagee; did you mean --stage?" in result.stderr
