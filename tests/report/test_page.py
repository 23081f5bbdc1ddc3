"""espret report: the page is one safe, self-contained, repeatable file, and shows what it should."""

from __future__ import annotations

import base64
import hashlib
import io
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espret.bin import main

HOSTILE = "<script>alert('x')</script> & \"dogs\""
VOID = {"meta", "br", "img", "link", "hr", "input"}
SPICE = "SPICE's parser is not installed; mend: tools/install.sh"


class Page(HTMLParser):
    """The page's elements, texts and attribute values; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.right: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.texts.append(data.strip())

    def values(self, tag: str, name: str) -> list[str]:
        return [value for at, key, value in self.attributes if (at, key) == (tag, name)]

    @property
    def text(self) -> str:
        return " ".join(filter(None, self.texts))


@pytest.fixture
def make(tree):
    """Collect and report on score directories; returns the parsed page and its text."""

    def run(folders, *options: str):
        names = [str(folder) for folder in folders]
        assert main(["collect", "--out", "results.jsonl", *names]) == 0
        assert main(["report", "--results", "results.jsonl", "--out", "report.html", *options, *names]) == 0
        text = Path("report.html").read_text(encoding="utf-8")
        return Page(text), text

    return run


@pytest.fixture
def both(tree, retrieval_metrics, caption_metrics):
    """Score directories of two retrieval seeds and one captioning run without SPICE, with all that a page can show."""
    data = tree.data()
    (tree.root / "conf/retrieval").mkdir(parents=True)
    (tree.root / "conf/retrieval/mini.yaml").touch()
    folders = [tree.score("retrieval", "mini", seed, retrieval_metrics(40.0 + seed)) for seed in (1, 2)]
    lacking = caption_metrics | {"SPICE": None, "SPIDEr": None}
    folders.append(tree.score("captioning", "mini", 1, lacking, unavailable=dict.fromkeys(("SPICE", "SPIDEr"), SPICE)))
    for folder in folders[:2]:
        tree.retrieval_items(folder)
    tree.caption_items(folders[2], data)
    for folder in folders:
        tree.history(folder, [3.0, 2.0, 1.5])
    return folders


def test_page_holds_every_clip_and_asks_for_nothing(make, both):
    page, text = make(both, "--examples", "1")
    # A best, a typical and a worst query: 5 clips each, and the right clip of the worst, which is not among them.
    assert page.tags["audio"] == (5 + 5 + 5 + 1) + 3
    assert all(source.startswith("data:audio/mpeg;base64,") for source in page.values("audio", "src"))
    assert all(link.startswith("#") for _, name, link in page.attributes if name in ("href", "xlink:href", "action"))
    assert not [value for _, name, value in page.attributes if name in ("srcset", "poster", "data")]
    assert "http://" not in text and "https://" not in text and "@import" not in text
    assert set(page.tags) & {"link", "iframe", "object", "embed", "base", "form"} == set()


def test_the_policy_in_the_head_allows_the_pages_own_script_only(make, both):
    page, _ = make(both)
    policy = next(value for value in page.values("meta", "content") if "default-src" in value)
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    assert policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}';" in policy
    assert page.tags["script"] == 1


def test_hostile_captions_are_text(make, both):
    page, text = make(both, "--examples", "3")
    assert HOSTILE in page.texts
    assert "heard <b>clip0</b>" in page.texts
    assert "<script>alert" not in text and "<b>clip" not in text


def test_the_same_records_make_the_same_bytes(make, both):
    _, first = make(both)
    _, second = make(list(reversed(both)))
    assert first == second
    assert len(first) < 1_000_000


def test_header_tables_and_notes(make, both):
    page, _ = make(both)
    assert "2023-11-14" in page.text and "toy" in page.texts
    assert "41.5" in page.texts and "± 0.7" in page.text
    assert SPICE in page.texts and page.texts.count("n/a") >= 2
    assert "chance 100.0" in page.text
    assert "--retrieval-config conf/retrieval/mini.yaml --seeds '1 2'" in page.text


def test_right_clip_is_marked_once_a_query(make, both):
    page, _ = make(both, "--examples", "1")
    assert page.values("li", "class").count("right") == 3
    assert "right clip at rank 8" in page.text


def test_curves_have_a_line_a_seed_and_the_values(make, both):
    page, _ = make(both)
    # Retrieval: the loss (train and valid) and R@10 of two seeds; captioning: the same of one.
    assert len([value for value in page.values("path", "class") if value.startswith("line")]) == 4 + 2 + 2 + 1
    assert any("train, seed 2: 1.5" in text and text.startswith("epoch 3") for text in page.texts)
    assert "seed 1: 3 epochs, 1 min 30 s, 100 clips/s" in page.texts


def test_system_that_was_not_trained_here_has_no_curves_and_says_so(tree, make, caption_metrics):
    data = tree.data()
    folder = tree.score("captioning", "published", 1, caption_metrics)
    tree.caption_items(folder, data)
    page, _ = make([folder])
    assert page.tags["figure"] == 0
    assert "no metrics.jsonl in exp/captioning_published/seed1 (not trained here)" in page.text


def test_missing_audio_is_said_in_its_row(tree, make, caption_metrics):
    data = tree.data()
    folder = tree.score("captioning", "a", 1, caption_metrics)
    tree.caption_items(folder, data)
    (tree.root / data.wav_scp["clip7"]).unlink()
    (tree.root / data.wav_scp["clip0"]).write_bytes(b"not audio")
    page, _ = make([folder], "--examples", "1")
    assert page.tags["audio"] == 1
    assert len([text for text in page.texts if "cannot be played" in text and "clip7 é'.wav" in text]) == 1
    assert page.text.count("cannot be played") == 2


def test_clip_that_data_does_not_know_is_said(tree, make, caption_metrics):
    data = tree.data()
    folder = tree.score("captioning", "a", 1, caption_metrics)
    tree.caption_items(folder, data, utt="elsewhere")
    page, _ = make([folder])
    assert page.tags["audio"] == 0
    assert "no audio for 'elsewhere'" in page.text


def test_sound_beyond_the_limit_is_left_out_and_named(make, both):
    page, _ = make(both, "--audio-mb", "0.02")
    assert 0 < page.tags["audio"] < 10
    assert "espret report --audio-mb" in page.text


def test_examples_without_items_say_what_is_missing(tree, make, caption_metrics):
    tree.data()
    page, _ = make([tree.score("captioning", "a", 1, caption_metrics)])
    assert "no examples: exp/captioning_a/seed1/score_test/items.jsonl is not there" in page.text


def test_long_clips_are_cut_and_segments_are_found(tree, make, caption_metrics):
    data = tree.data()
    folder = tree.score("captioning", "a", 1, caption_metrics)
    tree.caption_items(folder, data)
    rate = 16000
    silence_then_tone = np.concatenate([np.zeros(2 * rate), 0.5 * np.sin(np.arange(13 * rate))])
    soundfile.write("long.wav", silence_then_tone, rate)
    root = tree.root / "data/test"
    (root / "wav.scp").write_text("long long.wav\n")
    (root / "segments").write_text(
        "".join(f"clip{n} long {start} {end}\n" for n, (start, end) in enumerate([(0, 2), *[(2, 3)] * 6, (2, 15)]))
    )
    page, _ = make([folder], "--examples", "1")
    decoded = [soundfile.read(io.BytesIO(base64.b64decode(s.split(",")[1]))) for s in page.values("audio", "src")]
    loudness = [float(np.sqrt(np.mean(samples**2))) for samples, _ in decoded]
    assert [round(len(samples) / rate) for samples, rate in decoded] == [10, 1, 2]
    assert loudness == pytest.approx([0.354, 0.354, 0.0], abs=0.03)
    assert "first 10.0 s" in page.texts


def test_report_without_results(tree):
    tree.lines("results.jsonl", [])
    assert main(["report", "--results", "results.jsonl", "--out", "report.html"]) == 0
    assert "No results" in Page(Path("report.html").read_text()).texts
