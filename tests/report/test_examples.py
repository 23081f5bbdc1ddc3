"""Which examples are chosen, how curves are read and drawn, and what the picture of a clip shows."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from espret.errors import EspretError
from espret.report.clips import BANDS, LOWEST_HZ, spectrum
from espret.report.curves import svg
from espret.report.examples import choose
from espret.report.runs import Chart, Curve, charts, duration, read_history


def _items(count, clips=None):
    return [{"id": f"item{n}", "utt": f"clip{n % (clips or count)}", "cost": n} for n in range(count)]


def _choose(items, each):
    chosen = choose(items, lambda item: item["cost"], lambda item: item["id"], each)
    return {name: [item["cost"] for item in part] for name, part in chosen}


def test_best_typical_and_worst():
    assert _choose(_items(101), 3) == {"best": [0, 1, 2], "typical": [49, 50, 51], "worst": [98, 99, 100]}


def test_choice_does_not_depend_on_the_order_of_the_items():
    items = [{**item, "cost": item["cost"] // 40} for item in _items(101)]
    first = choose(items, lambda item: item["cost"], lambda item: item["id"], 2)
    assert choose(items[::-1], lambda item: item["cost"], lambda item: item["id"], 2) == first
    assert first[0][1][0]["id"] != "item0"  # among equals not simply the first


def test_no_clip_twice_and_fewer_where_there_are_few():
    chosen = choose(_items(20, clips=4), lambda item: item["cost"], lambda item: item["id"], 2)
    utts = [item["utt"] for _, part in chosen for item in part]
    assert len(utts) == len(set(utts)) == 4
    assert _choose(_items(1), 3) == {"best": [0]}
    assert _choose([], 3) == {}


def test_history_skips_what_is_not_finite(tmp_path):
    rows = [
        {"epoch": 2, "train": {"loss": 1.0}, "valid": {"loss": float("nan")}},
        {"epoch": 1, "train": {"loss": 2.0}, "valid": None},
        {"epoch": 3, "train": {"loss": None}, "valid": {"loss": 0.5, "x": 1}},
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    history = read_history(tmp_path, 4)
    loss, x = charts("retrieval", [history])
    assert [(curve.name, curve.seed, curve.points) for curve in loss.curves] == [
        ("train", 4, [(1, 2.0), (2, 1.0)]),
        ("valid", 4, [(3, 0.5)]),
    ]
    assert x.title == "valid x"


def test_history_is_optional_but_not_malformed(tmp_path):
    assert read_history(tmp_path, 1) is None
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1}\n{"step": 3}\n')
    with pytest.raises(EspretError, match=r"metrics.jsonl:2: expected \{\"epoch\": N"):
        read_history(tmp_path, 1)


@pytest.mark.parametrize(
    "points", [[(1, 0.5)], [(1, 2.0), (2, 2.0)], [(1, -1e9), (300, 1e9)], [(n, n**-0.5) for n in range(1, 60)]]
)
def test_any_curve_is_drawn_within_its_frame(points):
    drawing = ElementTree.fromstring(svg(Chart("a <b> & c", [Curve("valid", 1, points)])))
    assert drawing[0].text == "a <b> & c"
    ticks = [label.text for label in drawing.iter("text") if label.get("class") == "tick end"]
    assert float(ticks[0]) <= min(v for _, v in points) and max(v for _, v in points) <= float(ticks[-2])
    heights = [float(dot.get("cy")) for dot in drawing.iter("circle")]
    assert heights and all(0 <= height <= 190 for height in heights)
    assert len({at.find("rect").get("x") for at in drawing.iter("g")}) == len(points)


def test_spectrum_shows_a_tone_where_it_is_and_silence_empty():
    rate, hertz = 24000, 3000
    level = spectrum(np.sin(2 * np.pi * hertz * np.arange(rate) / rate).astype(np.float32), rate)
    edges = np.geomspace(LOWEST_HZ, rate / 2, BANDS + 1)[::-1]
    band = int(level[:, 100].argmax())
    assert edges[band + 1] <= hertz <= edges[band]
    assert level.min() >= 0 and level.max() == 1
    assert not spectrum(np.zeros(100, dtype=np.float32), rate).any()


@pytest.mark.parametrize(("seconds", "shown"), [(41.6, "42 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")])
def test_duration(seconds, shown):
    assert duration(seconds) == shown
