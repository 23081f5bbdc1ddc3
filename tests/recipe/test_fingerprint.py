"""What of a command decides about an output."""

from espret.recipe.fingerprint import command_words


def test_how_work_is_spread_is_left_out():
    words = ["run.py", "JOB=1:4", "x.JOB.log", "espret", "dump", "--data", "d", "--shard", "JOB/4", "--ngpu", "2"]
    assert command_words(words) == ["espret", "dump", "--data", "d"]


def test_parsing_ahead_of_scoring_is_left_out():
    assert command_words(["run.py", "x.log", "espret", "parse-captions", "--hyp", "h", "--shard", "JOB/3"]) == []
