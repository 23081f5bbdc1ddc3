"""espret.recipe: what is run, what is skipped, and why; kills and concurrent runs."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from espret.errors import EspretError
from espret.files import CONTENT
from espret.recipe import ledger, status
from espret.recipe.plan import Plan, Stage, read_plan, read_step
from espret.recipe.runner import Choice, Runner

ALL = Choice(0, 5, set())


def sh(script):
    return ["bash", "-c", script]


def toy(nj=2, text="conf/a.yaml:text", script="cat data/train/text > '{out}/tokens'"):
    """A recipe of three stages: data from a file, two folders at once; tokens from it; one file at the end."""
    return Plan(
        [
            Stage(0, "data", "prepare", [step(0, "to data/train to data/valid from corpus.txt", prepare())]),
            Stage(1, "text", "vocabulary", [step(1, f"to dump/text from data/train conf {text}", sh(script))]),
            Stage(
                2,
                "score",
                "table",
                [
                    step(
                        2,
                        "file RESULTS.md from dump/text",
                        sh(f"wc -w dump/text/tokens > '{{out}}' # --shard JOB/{nj}"),
                    )
                ],
            ),
        ]
    )


def prepare():
    return sh("cp corpus.txt '{data/train}/text'; head -n 1 corpus.txt > '{data/valid}/text'")


def step(stage, head, *commands):
    words = head.split() + ["--"]
    for index, command in enumerate(commands):
        words += ["--then"] * (index > 0) + command
    return read_step(stage, words)


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe folder whose path has a blank and a quote."""
    folder = tmp_path / "it's a recipe"
    (folder / "conf").mkdir(parents=True)
    (folder / "corpus.txt").write_text("a dog barks\na bell rings\n")
    (folder / "conf/a.yaml").write_text("text: {name: word, min_count: 1}\nmodel: {dim: 8}\n")
    monkeypatch.chdir(folder)
    return folder


def run(plan, choice=ALL):
    runner = Runner(plan, choice)
    runner.run()
    return runner.done


def test_second_run_does_nothing_and_says_so(recipe, capsys):
    assert run(toy()) == 3
    assert (recipe / "RESULTS.md").read_text().startswith("6 ")
    capsys.readouterr()
    assert run(toy()) == 0
    assert "Nothing to do: everything is up to date." in capsys.readouterr().out
    assert not list(recipe.rglob("*.partial"))


def test_one_changed_option_redoes_what_depends_on_it(recipe, capsys):
    run(toy())
    (recipe / "conf/a.yaml").write_text("text: {name: word, min_count: 2}\nmodel: {dim: 16}\n")
    capsys.readouterr()
    assert run(toy()) == 1  # the tokens come out the same, so the table stays
    assert "dump/text is stale: conf text.min_count 1 -> 2" in capsys.readouterr().out


def test_a_section_that_does_not_matter(recipe):
    run(toy())
    (recipe / "conf/a.yaml").write_text("text: {name: word, min_count: 1}\nmodel: {dim: 16}\n")
    assert run(toy()) == 0


def test_changed_input_flows_downstream(recipe, capsys):
    run(toy())
    (recipe / "corpus.txt").write_text("rain\n")
    assert run(toy()) == 3
    assert "input corpus.txt changed" in capsys.readouterr().out
    assert (recipe / "RESULTS.md").read_text().startswith("1 ")


def test_how_work_is_spread_is_not_an_input(recipe):
    espret = ["run.py", "JOB=1:2", "x.log", "espret", "dump", "--shard", "JOB/2", "--data", "d"]
    more = ["run.py", "JOB=1:7", "y.log", "espret", "dump", "--shard", "JOB/7", "--data", "d"]
    other = [*more[:-1], "e"]
    prints = [Runner(Plan([]), ALL).wanted(read_step(1, ["to", "x", "--", *words])) for words in (espret, more, other)]
    assert prints[0] == prints[1] != prints[2]


def test_edited_output_is_kept_and_downstream_follows(recipe, capsys):
    run(toy())
    (recipe / "data/train/text").write_text("by hand\n")
    assert run(toy()) == 2
    assert "data/train/text edited since; kept" in capsys.readouterr().out
    assert (recipe / "RESULTS.md").read_text().startswith("2 ")


def test_touched_but_equal_output_is_fresh(recipe):
    run(toy())
    os.utime(recipe / "data/train/text")
    assert run(toy()) == 0


def test_damaged_output_is_made_again(recipe, capsys):
    run(toy())
    (recipe / "dump/text/tokens").unlink()
    assert run(toy()) == 1
    assert "dump/text is damaged: dump/text/tokens is missing" in capsys.readouterr().out


def test_removed_intermediate_output_alone_is_made_again(recipe):
    run(toy())
    ledger.remove("dump/text")
    assert run(toy(), Choice(2, 2, set())) == 0  # the table is still right
    assert run(toy()) == 1


def test_missing_input_names_the_stage(recipe):
    with pytest.raises(
        EspretError, match=r"data/train does not exist: needs stage 0: run ./run.sh --stage 0 --stop-stage 0"
    ):
        run(toy(), Choice(1, 5, set()))


def test_stale_input_of_a_later_stage_is_refused(recipe):
    run(toy())
    (recipe / "conf/a.yaml").write_text("text: {name: word, min_count: 2}\n")
    (recipe / "RESULTS.md").unlink()
    with pytest.raises(
        EspretError, match=r"dump/text, which is stale \(conf text.min_count 1 -> 2\): run ./run.sh --stage 1"
    ):
        run(toy(), Choice(2, 2, set()))
    assert run(toy(), Choice(2, 2, set(), force=True)) == 1


def test_force_and_skip(recipe, capsys):
    assert run(toy()) == 3
    assert run(toy(), Choice(0, 5, {0, 1}, force=True)) == 1
    assert "stage 0 data: skipped" in capsys.readouterr().out


def test_a_directory_of_the_users_own(recipe):
    (recipe / "data/train").mkdir(parents=True)
    (recipe / "data/train/text").write_text("my own\n")
    with pytest.raises(EspretError, match="data/train was not made by this recipe, and stage 0 would replace it"):
        run(toy())
    assert (recipe / "data/train/text").read_text() == "my own\n"
    assert run(toy(), Choice(1, 5, set())) == 2  # but later stages read it
    assert (recipe / "RESULTS.md").read_text().startswith("2 ")


def test_a_failing_command_leaves_no_output(recipe):
    plan = toy(script="echo half > '{out}/tokens'; exit 3")
    with pytest.raises(EspretError, match=r"stage 1, dump/text: the command failed \(status 3\)"):
        run(plan)
    assert not (recipe / "dump/text").exists()
    assert run(toy()) == 2


def test_a_command_that_writes_nothing(recipe):
    plan = Plan([Stage(0, "x", "y", [step(0, "file out.txt", ["true"])])])
    with pytest.raises(EspretError, match="did not write out.txt.partial"):
        run(plan)


def test_interrupted_work_is_taken_up_only_for_the_same_options(recipe):
    script = "ls '{out}' | grep -c part; touch '{out}/part' ; test -e go && cp data/train/text '{out}/tokens'"
    seen = "echo $ESPRET_RESUME >> resumed; " + script
    for expected in ("0", "1"):
        with pytest.raises(EspretError):
            run(toy(script=seen))
        assert (recipe / "resumed").read_text().split()[-1] == expected
    assert (recipe / "dump/text.partial/part").exists()
    (recipe / "conf/a.yaml").write_text("text: {name: word, min_count: 9}\n")
    (recipe / "go").touch()
    run(toy(script=seen))
    assert (recipe / "resumed").read_text().split() == ["0", "1", "0"]


def test_two_systems_share_a_feature(recipe):
    (recipe / "conf/b.yaml").write_text("text: {name: word, min_count: 1}\n")

    def words(config):
        return [
            b"@step",
            b"8",
            b"to",
            b"dump/f",
            b"conf",
            f"conf/{config}.yaml:text".encode(),
            b"--",
            b"bash",
            b"-c",
            b"touch {out}/x",
        ]

    def plan():
        stream = [b"@stage", b"3", b"1", b"features", b"dump", *words("a"), *words("b")]
        return read_plan(b"".join(word + b"\0" for word in stream))

    assert len(plan().steps) == 1
    assert run(plan()) == 1
    (recipe / "conf/b.yaml").write_text("text: {name: word, min_count: 2}\n")
    with pytest.raises(EspretError, match=r"conf/b.yaml:text: text.min_count is 2 here and 1 in conf/a.yaml:text"):
        run(plan())


def test_an_output_inside_another(recipe, capsys):
    """Decoded captions lie in the folder of the trained system, and are an input of their own."""

    def plan(beam):
        decode = step(1, "to exp/decode from exp conf conf/a.yaml:text", sh(f"echo {beam} > '{{out}}/hyp'"))
        score = step(2, "to exp/score from exp/decode", sh("cp exp/decode/hyp '{out}/value'"))
        return Plan(
            [
                Stage(0, "train", "t", [step(0, "to exp", sh("echo weights > '{out}/best'"))]),
                Stage(1, "decode", "d", [decode]),
                Stage(2, "score", "s", [score]),
            ]
        )

    assert run(plan(1)) == 3
    assert run(plan(1)) == 0
    assert run(plan(2)) == 2
    assert (recipe / "exp/score/value").read_text() == "2\n"
    ledger.remove("exp/decode")
    with pytest.raises(EspretError, match="needs stage 1"):
        run(plan(3), Choice(2, 2, set(), force=True))
    ledger.remove("exp")
    with pytest.raises(EspretError, match="exp does not exist: needs stage 0"):
        run(plan(1), Choice(1, 1, set()))
    assert not Path("exp").exists()  # the refused step left no folder that looks like somebody's own
    Path("exp/.espret").mkdir(parents=True)
    assert run(plan(1)) == 3


def test_status_and_dry_run(recipe, capsys):
    status.print_status(toy())
    assert "absent" in capsys.readouterr().out
    run(toy())
    (recipe / "conf/a.yaml").write_text("text: {name: word, min_count: 2}\n")
    capsys.readouterr()
    status.print_status(toy())
    rows = capsys.readouterr().out.splitlines()
    assert rows[1].split()[:5] == ["0", "data", "data/train", "data/valid", "done"]
    assert "stale" in rows[2] and rows[2].endswith("conf text.min_count 1 -> 2")
    assert "stale" in rows[3] and rows[3].endswith("dump/text is to be made again")
    before = sorted(recipe.rglob("*"))
    status.print_dry_run(toy(), ALL)
    printed = capsys.readouterr().out
    assert "# data/train data/valid: up to date" in printed
    assert "bash -c 'cat data/train/text >" in printed and "mv dump/text.partial dump/text" in printed
    assert sorted(recipe.rglob("*")) == before


def child(code, cwd):
    """Run a snippet that has the toy recipe at hand, in a process of its own."""
    header = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from test_runner import *\n"
    return subprocess.Popen([sys.executable, "-c", header + code], cwd=cwd, stdout=subprocess.PIPE, text=True)


def test_second_run_waits_and_says_for_whom(recipe):
    script = "echo x >> started; sleep 1; cat data/train/text > '{out}/tokens'"
    slow = f"Runner(toy(script={script!r}), ALL).run()"
    first = child(slow, recipe)
    while not (recipe / "started").exists():
        time.sleep(0.02)
    second = child(slow, recipe)
    assert first.wait() == 0
    out = second.communicate()[0]
    assert second.returncode == 0
    assert f"dump/text is held by process {first.pid} on " in out and "waiting for it" in out
    assert (recipe / "started").read_text() == "x\n"  # the work was done once
    first.stdout.close()


def test_killed_run_holds_the_lock_until_its_commands_end(recipe):
    script = "echo $$ > pid; exec 1>&-; trap '' TERM; sleep 1; echo late > '{out}/tokens'; echo end > ended; exit 1"
    first = child(f"Runner(toy(script={script!r}), ALL).run()", recipe)
    while not (recipe / "pid").exists():
        time.sleep(0.02)
    first.kill()
    first.wait()
    first.stdout.close()
    assert run(toy()) == 2
    assert (recipe / "ended").exists()  # it did not write beside a process of the killed run
    assert (recipe / "dump/text/tokens").read_text() == "a dog barks\na bell rings\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_commands(recipe, number):
    script = "trap 'echo ended > ended; exit 2' INT TERM; echo $$ > pid; while :; do sleep 0.05; done"
    process = child(f"Runner(toy(script={script!r}), ALL).run()", recipe)
    while not (recipe / "pid").exists() or not (recipe / "pid").read_text():
        time.sleep(0.02)
    process.send_signal(number)
    out = process.communicate(timeout=10)[0]
    assert process.returncode == 128 + number
    assert "the same command takes the work up again" in out
    assert (recipe / "ended").exists()
    assert run(toy()) == 2


def test_killed_at_any_moment(recipe):
    """SIGKILL at many moments; what the next run makes is what an undisturbed run makes."""
    script = "sleep 0.05; cat data/train/text > '{out}/tokens'"
    run(toy(script=script))
    expected = {p: p.read_bytes() for p in [Path("RESULTS.md"), Path("dump/text/tokens"), Path("data/valid/text")]}
    code = f"Runner(toy(script={script!r}), Choice(0, 5, set(), force=True)).run()"
    for delay in range(12):
        process = child(code, recipe)
        time.sleep(0.12 + 0.03 * delay)
        process.kill()
        process.wait()
        process.stdout.close()
        run(toy(script=script))
        assert {p: p.read_bytes() for p in expected} == expected
        assert run(toy(script=script)) == 0


@pytest.mark.parametrize("moment", range(5))
def test_killed_while_outputs_are_put_in_place(recipe, monkeypatch, moment):
    """Killed between any two renames, what was made is only renamed by the next run, not made again."""

    class Killed(BaseException):
        pass

    run(toy())
    (recipe / "corpus.txt").write_text("rain\nwind\n")
    real, count = os.replace, iter(range(100))

    def replace(source, target):
        if "data/" in f"{target}" and not f"{target}".endswith(".json") and next(count) == moment:
            raise Killed
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    counted = "echo x >> made; " + prepare()[2]
    plan = toy()
    plan.stages[0].steps[0].commands = [sh(counted)]
    with contextlib.suppress(Killed):
        run(plan)
    monkeypatch.undo()
    os.chdir(recipe)
    run(plan)
    assert (recipe / "data/train/text").read_text() == "rain\nwind\n"
    assert (recipe / "data/valid/text").read_text() == "rain\n"
    assert (recipe / "RESULTS.md").read_text().startswith("2 ")
    assert (recipe / "made").read_text() == "x\n"
    assert run(plan) == 0


@pytest.mark.parametrize("ended", [True, False])
def test_jobs_left_in_a_queue_are_ended_before_their_folder_goes(recipe, monkeypatch, ended):
    """A killed run may have left jobs in Slurm that still write to what a run with other options discards."""
    from espret.jobs import submission

    with pytest.raises(EspretError):
        run(toy(script="exit 1"))
    queue = recipe / "dump/text.partial/log/q"
    queue.mkdir()
    (queue / "text.log.job").write_text(json.dumps({"token": "abc", "offsets": {"17": 0}, "log": "text.log"}))
    (recipe / "conf/a.yaml").write_text("text: {name: word, min_count: 2}\n")
    cancelled = []

    def cancel(runner, token, ids):
        cancelled.append((token, ids))
        return ended

    monkeypatch.setattr(submission, "cancel_jobs", cancel)
    if ended:
        assert run(toy()) == 2
    else:
        with pytest.raises(EspretError, match="still in the queue"):
            run(toy())
        assert queue.exists()
    assert cancelled == [("abc", ["17"])]


def test_what_a_killed_force_left_is_swept_away(recipe):
    run(toy())
    Path("dump/text.partial").mkdir()
    Path("dump/.text.removed-7").mkdir()
    Path("dump/.text2.removed-7").mkdir()  # of an output with a longer name, which another run may be removing
    Path("RESULTS.md.partial").write_text("half")
    assert run(toy()) == 0
    assert not list(recipe.rglob("*.partial"))
    assert [path.name for path in recipe.rglob("*.removed-7")] == [".text2.removed-7"]


def test_an_input_of_another_plan_inside_an_output_of_this_one(recipe):
    """The score of a test set that this run leaves out still counts in the table, and counts the same."""
    train = Stage(0, "train", "t", [step(0, "to exp", sh("echo weights > '{out}/best'"))])
    score = Stage(1, "score", "s", [step(1, "to exp/score_valid from exp", sh("echo 7 > '{out}/value'"))])
    table = Stage(2, "table", "t", [step(2, "file RESULTS.md from exp/score_valid", sh("cat exp/*/value > '{out}'"))])
    assert run(Plan([train, score, table])) == 3
    assert run(Plan([train, table])) == 0
    assert run(Plan([train, score, table])) == 0


def test_an_enclosing_output_is_not_made_again_meanwhile(recipe):
    """Retraining waits for a scoring inside the experiment's folder."""
    slow = "echo x > scoring; sleep 0.7; echo value > '{out}/value'"
    header = (
        "train = Stage(0, 'train', 't', [step(0, 'to exp', sh(\"echo w > '{out}/best'\"))])\n"
        f"score = Stage(1, 'score', 's', [step(1, 'to exp/score from corpus.txt', sh({slow!r}))])\n"
        "plan = Plan([train, score])\n"
    )
    assert child(header + "Runner(plan, Choice(0, 0, set())).run()", recipe).wait() == 0
    first = child(header + "Runner(plan, Choice(1, 1, set())).run()", recipe)
    while not (recipe / "scoring").exists():
        time.sleep(0.02)
    second = child(header + "Runner(plan, Choice(0, 0, set(), force=True)).run()", recipe)
    out = second.communicate()[0]
    assert first.wait() == 0 and second.returncode == 0
    assert "exp is held by" in out
    first.stdout.close()


def test_what_an_output_says_that_it_contains_counts(recipe):
    """A dump's archives depend on the number of jobs, its content.sha256 does not."""
    archives = {"feats.1.ark": [1, 2, "a"], CONTENT: [3, 4, "c"]}
    others = {"feats.1.ark": [5, 6, "b"], "feats.2.ark": [7, 8, "b"], CONTENT: [3, 9, "c"]}
    assert ledger.digest(archives) == ledger.digest(others)
    assert ledger.digest(archives) != ledger.digest({**archives, CONTENT: [3, 4, "d"]})


def test_the_record_says_how(recipe):
    run(toy())
    record = json.loads((recipe / "dump/text/.espret.json").read_text())
    assert record["fingerprint"]["conf"] == {"text.name": "word", "text.min_count": 1}
    assert record["stage"] == 1 and record["espret"] and record["commands"][0][0] == "bash"
    assert list(record["files"]) == ["tokens"]


def test_follow_shows_the_log(recipe, capsys):
    script = "cd '{log}'; echo '# head' > a.log; echo epoch 1 >> a.log; sleep 0.5; echo epoch 2 >> a.log; touch '../x'"
    plan = Plan([Stage(0, "train", "t", [step(0, "to exp follow", sh(script))])])
    run(plan)
    out = capsys.readouterr().out
    assert "    epoch 1\n    epoch 2\n" in out and "# head" not in out


def test_locks_do_not_pile_up_threads(recipe):
    before = threading.active_count()
    run(toy())
    assert threading.active_count() == before
