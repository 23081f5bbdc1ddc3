"""What of a command decides about an output."""

from espret.recipe.fingerprint import command_words, differences


def test_how_work_is_spread_is_left_out():
    words = ["run.py", "JOB=1:4", "x.JOB.log", "espret", "dump", "--data", "d", "--shard", "JOB/4", "--ngpu", "2"]
    assert command_words(words) == ["espret", "dump", "--data", "d"]


def test_parsing_ahead_of_scoring_is_left_out():
    assert command_words(["run.py", "x.log", "espret", "parse-captions", "--hyp", "h", "--shard", "JOB/3"]) == []


def test_what_changed_is_told_by_option():
    def made(test_set, *more):
        first = ["espret", "prepare", "--split", f"test={{data/{test_set}}}", "--work", "{log}", *more]
        second = ["espret", "finish-data", "--issues", "issues.tsv", "{data/train}", f"{{data/{test_set}}}"]
        return {"command": [*first, *second], "conf": {}, "inputs": {}}

    assert differences(made("test"), made("test_b", "--youtube", "true")) == [
        "option --split test={data/test} -> test={data/test_b}",
        "option --youtube (none) -> true",
    ]
    assert differences(made("test"), {**made("test"), "command": made("test")["command"][:-1]}) == ["command changed"]
