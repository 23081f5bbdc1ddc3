"""`espret compare`: what score directories hold becomes exact values of any resample; what does not fit is refused."""

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from espret.bin import main
from espret.data.datadir import DataDir
from espret.data.tables import list_sha256
from espret.errors import EspretError
from espret.files import read_json, read_jsonl, write_json, write_jsonl
from espret.scoring import SUMMED
from espret.scoring.bleu import Bleu
from espret.scoring.meteor.metric import Meteor
from espret.scoring.metric import Captions, Metric
from espret.scoring.retrieval import rank_metrics
from espret.scoring.statistics.compare import compare, read_systems
from espret.scoring.statistics.itemwise import read_run

WORDS = ["a", "the", "dog", "cat", "rain", "bell", "barks", "meows", "falls", "rings", "loudly", "twice", "nearby"]


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty recipe folder with a blank, a quote and a letter that is not ASCII in its name, as working directory."""
    root = tmp_path / "é recipe's"
    root.mkdir()
    monkeypatch.chdir(root)
    return root


def sentence(draw: np.random.Generator) -> str:
    return " ".join(draw.choice(WORDS, size=draw.integers(3, 9)))


def captioning(folder: Path, values: list[float], metric: str = "CIDEr-D", **more: Any) -> Path:
    """A score directory of clips c00, c01, ... with one metric, whose set value is the mean."""
    items = [
        {"utt": f"c{number:02}", "caption": "x", "references": [f"r{number}", "s"], metric: value}
        for number, value in enumerate(values)
    ]
    record = {"task": "captioning", "split": "test", "n_clips": len(values), "n_captions": 2 * len(values)}
    write_jsonl(folder / "items.jsonl", items)
    write_json(folder / "scores.json", {**record, "metrics": {metric: float(np.mean(values))}, **more})
    return folder


def retrieval(folder: Path, sim: np.ndarray, own: np.ndarray) -> Path:
    """The score directory that `espret score-retrieval` writes for similarities of captions k<i> and clips c<j>."""
    captions = [f"k{number:03}" for number in range(len(own))]
    clips = [f"c{number:02}" for number in range(sim.shape[1])]
    data, decode = folder / "data" / "test", folder / "decode"
    cap2utt = {caption: clips[column] for caption, column in zip(captions, own)}
    utt2cap = {utt: [caption for caption in captions if cap2utt[caption] == utt] for utt in set(cap2utt.values())}
    wav_scp = {utt: f"{utt}.wav" for utt in clips}
    DataDir(wav_scp=wav_scp, text=dict.fromkeys(captions, "x"), cap2utt=cap2utt, utt2cap=utt2cap).write(data)
    decode.mkdir()
    np.save(decode / "sim.npy", sim)
    (decode / "captions.txt").write_text("".join(f"{caption}\n" for caption in captions))
    (decode / "clips.txt").write_text("".join(f"{utt}\n" for utt in clips))
    out = folder / "score"
    assert main(["score-retrieval", "--decode", str(decode), "--data", str(data), "--out", str(out)]) == 0
    return out


def change(file: Path, edit: Callable[[Any], None]) -> None:
    """Edit the value of a JSON file, or the list of rows of a JSON Lines file, in place."""
    lines = file.suffix == ".jsonl"
    value = read_jsonl(file) if lines else read_json(file)
    edit(value)
    (write_jsonl if lines else write_json)(file, value)


def refused(*paths: Path, **options: Any) -> str:
    with pytest.raises(EspretError) as caught:
        compare(read_systems([str(path) for path in paths]), resamples=10, **options)
    return str(caught.value)


# Exact values of resamples.


@pytest.mark.parametrize(("module", "metric"), [("BLEU", Bleu), ("METEOR", Meteor)])
def test_sums_of_a_resample_give_what_scoring_it_gives(module: str, metric: type[Metric]) -> None:
    draw = np.random.default_rng(0)
    refs = [[sentence(draw) for _ in range(draw.integers(1, 5))] for _ in range(30)]
    hyps = [sentence(draw) for _ in refs]
    hyps[3], hyps[5], hyps[8] = refs[3][0], "", "nothing of this"

    def scored(chosen: list[int]) -> Any:
        some_hyps, some_refs = [hyps[i] for i in chosen], [refs[i] for i in chosen]
        return metric().score(Captions([str(i) for i in chosen], some_hyps, some_refs, some_hyps, some_refs))

    of_sums = SUMMED.load(module)
    whole = scored(list(range(30)))
    rows = np.array(whole.statistics[module])
    for name in metric.names:
        assert of_sums(rows)[name] == pytest.approx(whole.items[name], abs=1e-12)
    for chosen in ([*range(30)], [3, 3, 8], draw.integers(0, 30, 30).tolist(), draw.integers(0, 30, 30).tolist()):
        weights = np.bincount(chosen, minlength=30)
        for name in metric.names:
            assert of_sums(weights @ rows)[name] == pytest.approx(scored(chosen).corpus[name], abs=1e-12)


def test_retrieval_is_resampled_by_clip_with_all_its_captions(recipe: Path) -> None:
    draw = np.random.default_rng(1)
    own = draw.permutation(np.repeat(np.arange(20), [1, 2, 5, 5] * 5))
    sim = draw.standard_normal((len(own), 21)).round(1)  # with ties, and a clip without captions
    sim[np.arange(len(own)), own] += 1
    run = read_run(retrieval(recipe, sim, own))
    scores = rank_metrics(sim, own)
    assert set(run.quantities) == set(scores.metrics) and not run.left_out
    assert (len(run.clips), run.n_clips) == (20, 21)
    weights = draw.multinomial(20, [1 / 20] * 20, 5).astype(np.float64)
    for row in weights.astype(int):
        t2a = np.repeat(scores.t2a_ranks, row[own])
        a2t = np.repeat(scores.a2t_ranks, row)
        for name, ranks in (("t2a", t2a), ("a2t", a2t)):
            found = {metric: run.quantities[f"{name}/{metric}"].of(row[None, :].astype(float))[0] for metric in NAMES}
            expected = [np.mean(ranks == 1) * 100, np.mean(ranks < 11) * 100, np.median(ranks), np.mean(ranks)]
            assert list(found.values()) == pytest.approx(expected)
    precision = np.where(scores.t2a_ranks <= 10, 1 / scores.t2a_ranks, 0)
    expected = [100 * np.mean(np.repeat(precision, row[own])) for row in weights.astype(int)]
    assert run.quantities["t2a/mAP@10"].of(weights) == pytest.approx(expected)


NAMES = ("R@1", "R@10", "MedR", "MeanR")


# Comparisons.


def test_two_systems(recipe: Path) -> None:
    draw = np.random.default_rng(2)
    first = draw.random(60)
    second = first + 0.02 + 0.1 * draw.standard_normal(60)
    a = captioning(Path("exp/captioning_a/seed1/score_test"), first.tolist())
    b = captioning(Path("exp/captioning_b/seed1/score_test"), second.tolist())
    found = compare(read_systems([str(a), str(b)]))
    (row,) = found.rows
    (difference,) = row.differences
    assert [system.name for system in found.systems] == ["a, seed 1", "b, seed 1"]
    assert [estimate.value for estimate in row.estimates] == pytest.approx([first.mean(), second.mean()])
    assert difference.value == pytest.approx((second - first).mean())
    assert difference.low < difference.value < difference.high
    error = (second - first).std() / np.sqrt(60)
    normal = (difference.value - 1.96 * error, difference.value + 1.96 * error)
    assert (difference.low, difference.high) == pytest.approx(normal, abs=0.15 * error)
    z_test = 2 * scipy.stats.norm.sf(difference.value / error)
    assert 0.005 < z_test < 0.5
    assert difference.p_bootstrap == pytest.approx(z_test, rel=0.2)
    assert difference.p_randomisation == pytest.approx(difference.p_bootstrap, rel=0.2)
    assert difference.p_welch is None and row.estimates[0].sd is None


def test_the_other_way_round_is_the_same_with_another_sign(recipe: Path) -> None:
    draw = np.random.default_rng(3)
    a, b = (captioning(recipe / name, draw.random(20).tolist()) for name in "ab")
    there, back = (
        compare(read_systems([str(x), str(y)]), resamples=500).rows[0].differences[0] for x, y in ((a, b), (b, a))
    )
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert (there.p_bootstrap, there.p_randomisation) == (back.p_bootstrap, back.p_randomisation)


def test_a_system_like_another_differs_by_nothing(recipe: Path) -> None:
    a, b = (captioning(recipe / name, [0.1, 0.5, 0.2]) for name in "ab")
    (difference,) = compare(read_systems([str(a), str(b)]), resamples=99).rows[0].differences
    assert (difference.value, difference.p_bootstrap, difference.p_randomisation) == (0, 1, 1)


def test_several_seeds_are_averaged(recipe: Path) -> None:
    draw = np.random.default_rng(4)
    values = {name: draw.random((3, 15)) + shift for name, shift in (("a", 0), ("b", 0.2))}
    for name, runs in values.items():
        for seed, run in enumerate(runs, 1):
            captioning(Path(f"exp/captioning_{name}/seed{seed}/score_test"), run.tolist())
    Path("exp/captioning_b/seed4").mkdir()
    Path("exp/captioning_b/seed5.partial").mkdir()
    found = compare(read_systems(["exp/captioning_a", "exp/captioning_b"]), resamples=2000)
    (row,) = found.rows
    for estimate, runs in zip(row.estimates, values.values()):
        assert estimate.value == pytest.approx(runs.mean())
        assert estimate.runs == pytest.approx(runs.mean(axis=1))
        assert estimate.sd == pytest.approx(runs.mean(axis=1).std(ddof=1))
    (difference,) = row.differences
    expected = scipy.stats.ttest_ind(*(runs.mean(axis=1) for runs in values.values()), equal_var=False).pvalue
    assert difference.p_welch == pytest.approx(expected)
    # The same as one run with the means of the seeds.
    a, b = (captioning(recipe / name, runs.mean(axis=0).tolist()) for name, runs in values.items())
    one = compare(read_systems([str(a), str(b)]), resamples=2000).rows[0].differences[0]
    assert (difference.low, difference.high) == pytest.approx((one.low, one.high))
    assert (difference.p_bootstrap, difference.p_randomisation) == (one.p_bootstrap, one.p_randomisation)
    assert found.systems[1].unscored == [4]


@pytest.mark.parametrize(("number", "shift"), [(5, 1.5), (6, 0.8), (7, 0.8), (8, 1.0)])
def test_all_exchanges_of_unequal_numbers_of_seeds(number: int, shift: float, recipe: Path) -> None:
    """Median rank, two seeds against three: a clip's ranks of all seeds are exchanged, both systems weigh the same."""
    draw = np.random.default_rng(number)
    clips, own = 7, np.repeat(np.arange(7), 2)
    ranks: dict[str, list[np.ndarray]] = {"a": [], "b": []}
    for name, seed in (("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 3)):
        sim = draw.standard_normal((14, clips))
        sim[np.arange(14), own] += shift * (name == "b")
        ranks[name].append(rank_metrics(sim, own).t2a_ranks)
        home = recipe / f"{name}{seed}"
        home.mkdir()
        score = retrieval(home, sim, own)
        folder = Path(f"exp/retrieval_{name}/seed{seed}/score_test")
        folder.parent.mkdir(parents=True)
        score.rename(folder)

    def difference(swap: np.ndarray) -> float:
        here = np.concatenate([np.repeat(run, 3 * (1 - swap[own])) for run in ranks["a"]])
        here = np.concatenate([here, *(np.repeat(run, 2 * swap[own]) for run in ranks["b"])])
        there = np.concatenate([np.repeat(run, 2 * (1 - swap[own])) for run in ranks["b"]])
        there = np.concatenate([there, *(np.repeat(run, 3 * swap[own]) for run in ranks["a"])])
        return float(np.median(there) - np.median(here))

    exchanges = np.array(list(itertools.product([0, 1], repeat=clips)))
    observed = difference(exchanges[0])
    exact = np.mean([abs(difference(swap)) >= abs(observed) for swap in exchanges])
    found = compare(read_systems(["exp/retrieval_a", "exp/retrieval_b"]), ["t2a/MedR", "a2t/mAP@10"], resamples=4000)
    (row, _) = found.rows
    means = [np.mean([np.median(run) for run in runs]) for runs in ranks.values()]
    assert [estimate.value for estimate in row.estimates] == pytest.approx(means)
    if number == 5:
        assert abs(means[1] - means[0] - observed) > 0.1  # the median over seeds is not the mean of the medians
    assert row.differences[0].p_randomisation == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 4000))
    assert row.differences[0].value == pytest.approx(means[1] - means[0])


def test_equal_arguments_give_equal_numbers(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = np.random.default_rng(6)
    words = [str(captioning(recipe / name, draw.random(25).tolist())) for name in "abc"]
    texts = []
    for seed in ("0", "0", "1"):
        assert main(["compare", *words, "--resamples", "300", "--seed", seed, "--out", "out.json"]) == 0
        texts.append((capsys.readouterr().out, Path("out.json").read_text()))
    assert texts[0] == texts[1] != texts[2]
    # A pair's numbers do not depend on which other systems and metrics there are.
    alone, among = (compare(read_systems(names), resamples=300).rows[0] for names in (words[1:], words))
    assert alone.differences[0].p_randomisation == among.differences[2].p_randomisation
    assert alone.differences[0].low == pytest.approx(among.differences[2].low, abs=1e-12)


def test_size_of_a_test_set_is_fast(recipe: Path) -> None:
    draw = np.random.default_rng(7)
    a, b = (captioning(recipe / name, draw.random(1045).tolist()) for name in "ab")
    systems = read_systems([str(a), str(b)])
    began = time.process_time()
    compare(systems)
    assert time.process_time() - began < 4  # 0.4 s on an idle core


# The verb.


def write_data(folder: Path, utts: list[str], draw: np.random.Generator) -> None:
    captions = {f"{utt}-{k}": sentence(draw).capitalize() + "." for utt in utts for k in (1, 2, 3)}
    cap2utt = {caption: caption.rsplit("-", 1)[0] for caption in captions}
    utt2cap = {utt: [caption for caption in captions if cap2utt[caption] == utt] for utt in utts}
    data = DataDir(wav_scp=dict.fromkeys(utts, "x.wav"), text=captions, cap2utt=cap2utt, utt2cap=utt2cap)
    data.about = {"corpus": "toy", "list_sha256": list_sha256(utts)}
    data.write(folder)


def test_from_captions_to_the_table(recipe: Path, no_spice: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = np.random.default_rng(8)
    utts = [f"clip é {number}" for number in range(12)]
    write_data(recipe / "data" / "test", [utt.replace(" ", "_") for utt in utts], draw)
    for name in "ab":
        hyp = recipe / f"{name}.jsonl"
        write_jsonl(hyp, [{"utt": utt.replace(" ", "_"), "caption": sentence(draw)} for utt in utts])
        out = f"exp/captioning_{name}/seed1/score_test"
        words = ["--metrics", "BLEU", "METEOR", "ROUGE-L", "CIDEr-D", "SPIDEr", "vocabulary", "--allow-unavailable"]
        assert main(["score-captions", "--hyp", str(hyp), "--ref", "data/test", "--out", out, *words]) == 0
    capsys.readouterr()
    folders = [f"exp/captioning_{name}" for name in "ab"]
    written = ["--out", "new/b's.json", "--markdown", "new/b's.md"]
    assert main(["compare", *folders, "--resamples", "200", "--confidence", "0.9", *written]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "90 % interval" in text and "b - a" in text
    assert "Left out: SPICE, SPIDEr: exp/captioning_a/seed1/score_test: unavailable: " in text
    assert "Left out: vocabulary: " in text
    assert "computed from the sums" in text and "document frequencies of the whole set" in text
    record = read_json("new/b's.json")
    names = ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr-D"]
    assert list(record["metrics"]) == names
    stored = read_json("exp/captioning_b/seed1/score_test/scores.json")["metrics"]
    for name in names:
        assert record["metrics"][name]["systems"][1]["value"] == pytest.approx(stored[name], abs=1e-12)
    assert record["metrics"]["METEOR"]["pairs"][0]["p_welch"] is None
    assert (record["n_clips"], record["n_captions"], record["split"]) == (12, 36, "test")
    assert record["systems"][0] == {
        "name": "a",
        "folders": [f"{folders[0]}/seed1/score_test"],
        "seeds": [1],
        "unscored": [],
    }
    table = [line for line in Path("new/b's.md").read_text().splitlines() if line.startswith("|")]
    assert len(table) == 2 + 3 * len(names) and len({line.count(" | ") for line in table}) == 1


def test_one_system_has_intervals_only(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(captioning(recipe / "a", [0.1, 0.5, 0.3]))]) == 0
    text = capsys.readouterr().out
    assert "0.300" in text and " p " not in text.split("Interval:")[0]


@pytest.mark.parametrize(
    "words", [["--resamples", "0"], ["--confidence", "95"], ["--seed", "-1"], ["--resamples", "many"], []]
)
def test_usage_errors(words: list[str], recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = [str(captioning(recipe / "a", [0.1, 0.5]))] if words else []
    with pytest.raises(SystemExit) as caught:
        main(["compare", *folder, *words])
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


# What is refused.


@pytest.fixture
def pair(recipe: Path) -> tuple[Path, Path]:
    draw = np.random.default_rng(9)
    a, b = (captioning(recipe / name / "score", draw.random(4).tolist()) for name in "ab")
    return a, b


def test_clips_that_only_one_has(pair: tuple[Path, Path]) -> None:
    change(pair[1] / "items.jsonl", lambda items: items[2].update(utt="other"))
    message = refused(*pair)
    assert f"{pair[1] / 'items.jsonl'} lacks ids of {pair[0] / 'items.jsonl'}: c02" in message
    assert "lacks ids of" in refused(*reversed(pair)) and "other" in refused(*reversed(pair))


def test_a_part_of_the_set(pair: tuple[Path, Path]) -> None:
    change(pair[1] / "items.jsonl", lambda items: items.pop())
    assert "3 items with 6 captions, but the scores.json beside it is of 4 clips with 8" in refused(*pair)
    change(pair[1] / "scores.json", lambda record: record.update(n_clips=3, n_captions=6))
    assert "its items give CIDEr-D" in refused(*pair)
    captioning(pair[1], [0.1, 0.2, 0.3])
    assert "differ in n_clips: 4 and 3" in refused(*pair)


def test_other_references_or_another_order(pair: tuple[Path, Path]) -> None:
    change(pair[1] / "items.jsonl", lambda items: items[1].update(references=["s", "r1"]))
    assert "differ in the references, or their order, of c01" in refused(*pair)


def test_captions_of_other_clips(recipe: Path) -> None:
    own = np.repeat(np.arange(4), 2)
    sim = np.random.default_rng(10).standard_normal((8, 4))
    (recipe / "a").mkdir()
    (recipe / "b").mkdir()
    a, b = retrieval(recipe / "a", sim, own), retrieval(recipe / "b", sim, own[::-1].copy())
    assert "differ in the clip of k000, k001" in refused(a, b)


@pytest.mark.parametrize(("what", "value"), [("split", "valid"), ("task", "retrieval")])
def test_other_tasks_and_splits(what: str, value: str, pair: tuple[Path, Path], recipe: Path) -> None:
    if what == "task":
        other = retrieval(recipe, np.eye(4), np.arange(4))
    else:
        other = pair[1]
        change(other / "scores.json", lambda record: record.update({what: value}))
    message = refused(pair[0], other)
    assert f"{pair[0]} and {other} differ in {what}: " in message and value in message


def test_other_lists_of_clips(recipe: Path, pair: tuple[Path, Path]) -> None:
    hashes = [list_sha256(f"c{number:02}" for number in range(4)), "0" * 64]
    for folder, sha in zip(pair, hashes):
        data = recipe / f"data of {folder.parent.name}"
        write_json(data / "about.json", {"list_sha256": sha})
        change(folder / "scores.json", lambda record, data=data: record.update(data=str(data)))
    assert f"{pair[1] / 'items.jsonl'}: not of the clips that its data directory lists now" in refused(*pair)
    # Where the clips without captions are not known, the lists themselves differ.
    for folder in pair:
        own, sim = np.repeat(np.arange(4), 2), np.random.default_rng(11).standard_normal((8, 5))
        score = retrieval(folder.parent, sim, own)
        write_json(folder.parent / "data" / "test" / "about.json", {"list_sha256": hashes[folder == pair[1]]})
        assert score.is_dir()
    assert f"differ in list_sha256: {hashes[0]} and {hashes[1]}" in refused(*pair)


def test_metrics_that_one_lacks(recipe: Path, pair: tuple[Path, Path]) -> None:
    other = captioning(recipe / "c", [0.1, 0.2, 0.3, 0.4], metric="ROUGE-L")
    assert f"{other / 'scores.json'}: has no CIDEr-D; score all alike, or name what to compare" in refused(
        pair[0], other
    )
    assert "has no CIDEr; did you mean 'CIDEr-D'?" in refused(*pair, metrics=["CIDEr"])


def test_values_that_are_null_or_of_the_set_only_are_left_out_with_the_reason(pair: tuple[Path, Path]) -> None:
    for folder in pair:
        change(folder / "scores.json", lambda record: record["metrics"].update(SPICE=0.1, vocabulary=7))
        change(folder / "items.jsonl", lambda items: [item.update(SPICE=0.1) for item in items])
    change(pair[1] / "items.jsonl", lambda items: [item.update(SPICE=None) for item in items])
    change(pair[1] / "scores.json", lambda record: record["metrics"].update(SPICE=None))
    change(pair[1] / "scores.json", lambda record: record.update(unavailable={"SPICE": "no parser"}))
    found = compare(read_systems([str(folder) for folder in pair]), resamples=10)
    assert [row.metric for row in found.rows] == ["CIDEr-D"]
    assert found.left_out["SPICE"] == f"{pair[1]}: unavailable: no parser"
    assert "a value of the set only" in found.left_out["vocabulary"]
    assert f"SPICE cannot be compared: {pair[1]}: unavailable: no parser" in refused(*pair, metrics=["SPICE"])


def test_scores_from_before_the_statistics_were_kept(recipe: Path) -> None:
    a = captioning(recipe / "a", [0.1, 0.2])
    change(a / "scores.json", lambda record: record["metrics"].update({"BLEU-4": 0.3}))
    change(a / "items.jsonl", lambda items: [item.update({"BLEU-4": 0.2}) for item in items])
    found = compare(read_systems([str(a)]), resamples=10)
    assert "its items lack the statistics that BLEU of a set is made of; score again: " in found.left_out["BLEU-4"]
    b = retrieval(recipe, np.eye(4), np.arange(4))
    change(b / "items.jsonl", lambda items: [item.pop("a2t_rank") for item in items])
    found = compare(read_systems([str(b)]), resamples=10)
    assert all(row.metric.startswith("t2a/") for row in found.rows) and len(found.rows) == 7
    assert "its items have no a2t_rank; score again" in found.left_out["a2t/MedR"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "null", '"0.5"', "true"])
def test_values_that_are_no_finite_numbers(value: str, pair: tuple[Path, Path]) -> None:
    change(pair[1] / "items.jsonl", lambda items: items[2].update({"CIDEr-D": json.loads(value)}))
    assert f"{pair[1] / 'items.jsonl'}: CIDEr-D of c02 is " in refused(*pair)
    change(pair[0] / "scores.json", lambda record: record["metrics"].update({"CIDEr-D": float("nan")}))
    assert f"{pair[0] / 'scores.json'}: CIDEr-D is nan; expected a finite number" in refused(*pair)


def test_ranks_and_statistics_that_cannot_be(recipe: Path) -> None:
    folder = retrieval(recipe, np.eye(4), np.arange(4))
    change(folder / "items.jsonl", lambda items: items[1].update(rank=0))
    assert "rank of k001 is 0.0; expected 1 or more" in refused(folder)
    a = captioning(recipe / "a", [0.1, 0.2])
    change(a / "items.jsonl", lambda items: [items[i].update(statistics={"BLEU": [1.0] * (9 + i)}) for i in (0, 1)])
    assert "the statistics of BLEU differ in length" in refused(a)
    change(a / "items.jsonl", lambda items: [item.update(statistics={"BLEU": [None] * 10}) for item in items])
    assert "statistics of c00 is None; expected a finite number" in refused(a)


def test_files_that_are_no_scores(pair: tuple[Path, Path], recipe: Path) -> None:
    assert f"{recipe / 'gone'}: neither a score directory" in refused(recipe / "gone")
    change(pair[0] / "items.jsonl", lambda items: items.append(items[0]))
    assert "items.jsonl:5: a second item of c00" in refused(pair[0])
    change(pair[1] / "items.jsonl", lambda items: items[1].pop("references"))
    assert "items.jsonl:2: lacks references" in refused(pair[1])
    change(pair[1] / "scores.json", lambda record: record.pop("metrics"))
    assert "scores.json: lacks metrics; score again" in refused(pair[1])
    write_json(pair[1] / "scores.json", {"task": "x", "split": "", "n_clips": 1, "n_captions": 1, "metrics": {}})
    assert "task is 'x'; expected retrieval or captioning" in refused(pair[1])


def test_one_clip_and_a_system_named_twice(recipe: Path) -> None:
    assert "1 clip; a comparison needs two or more" in refused(captioning(recipe / "a", [0.5]))
    folder = captioning(recipe / "exp" / "captioning_x" / "seed1" / "score_test", [0.5, 0.6])
    assert "named twice" in refused(folder, Path("exp/captioning_x"))


def test_systems_of_one_name_are_told_apart(recipe: Path) -> None:
    a, b = (captioning(recipe / name / "score", [0.5, 0.6]) for name in "ab")
    assert [system.name for system in read_systems([str(a), str(b)])] == [f"score ({a})", f"score ({b})"]
