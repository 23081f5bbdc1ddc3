"""report.html: one file that holds its style, script, curves and sounds, and asks the network for nothing.

Gathers what the template shows; the look is in `template/`. Everything goes through Jinja's autoescape: captions and
ids are text from anywhere. The content policy in the page's head forbids requests and scripts other than its own.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import jinja2
from markupsafe import Markup

from espret.data.datadir import DataDir
from espret.report import curves, runs
from espret.report.clips import Clips
from espret.report.examples import Band, bands
from espret.report.metrics import TASKS
from espret.report.results import Row, ScoreDir
from espret.report.table import Table, commands, tables
from espret.training import CAPTIONING, RETRIEVAL

TEMPLATE = Path(__file__).parent / "template"
HEADLINE = {RETRIEVAL: "t2a/R@10", CAPTIONING: "SPIDEr"}


@dataclass(frozen=True)
class Headline:
    """The best system's main figure of one table."""

    task: str
    figure: str
    metric: str
    context: str


@dataclass(frozen=True)
class Key:
    """One entry of a legend: a seed and the class of its colour."""

    seed: int
    colour: str


@dataclass(frozen=True)
class Samples:
    """The examples of one split; `problem` says why there are none."""

    split: str
    seed: int
    bands: list[Band]
    problem: str = ""


@dataclass(frozen=True)
class Section:
    """One system: its training and its examples."""

    task: str
    system: str
    training: list[str]
    charts: list[Markup]
    legend: list[Key]
    config: str
    samples: list[Samples]


def render(rows: Sequence[Row], scored: Sequence[ScoreDir], root: Path, each: int, audio_limit: int) -> str:
    """The page as HTML.

    Args: rows: the results; scored: score directories whose curves and examples are shown, sorted as `score_dirs`
    does; root: the recipe's folder; each: examples a band; audio_limit: bytes of sound and pictures in the page.
    """
    made = tables(rows)
    corpora = sorted({row.corpus for row in rows})
    clips = Clips(audio_limit)
    by_system = groupby(scored, key=lambda one: (one.task, one.system))
    sections = [_section(list(members), clips, each) for _, members in by_system]
    script = (TEMPLATE / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        corpora=corpora,
        date=max((row.date for row in rows), default=""),
        versions=sorted({row.espret for row in rows}),
        headlines=[_headline(table, len(corpora) > 1) for table in made],
        tasks=[(task, [table for table in made if table.task == task]) for task in TASKS],
        commands=commands(root, made),
        sections=sections,
        style=Markup((TEMPLATE / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=digest,
    )


def _headline(table: Table, name_corpus: bool) -> Headline:
    """The highest main figure among a table's systems; for retrieval beside what chance would give."""
    place = next(i for i, column in enumerate(table.columns) if column.metric == HEADLINE[table.task])
    column = table.columns[place]
    scored = [line for line in table.lines if line.cells[place].mean is not None]
    where = f"{table.corpus} {table.split}" if name_corpus else table.split
    if not scored:
        return Headline(table.task, "n/a", column.title, where)
    best = max(scored, key=lambda line: line.cells[place].mean or 0.0)
    chance = f", chance {column.format(100 * min(1, 10 / table.n_clips))}" if table.task == RETRIEVAL else ""
    figure = column.format(best.cells[place].mean or 0.0)
    return Headline(table.task, figure, column.title, f"{best.system}, {where}{chance}")


def _section(members: Sequence[ScoreDir], clips: Clips, each: int) -> Section:
    """`members` are the score directories of one system, sorted by split and seed."""
    of_seed = {one.seed: one.run for one in reversed(members)}
    seeds = sorted(of_seed)
    read = {seed: runs.read_history(of_seed[seed], seed) for seed in seeds}
    histories = [history for history in read.values() if history]
    training = [
        f"seed {seed}: {history.facts() if history else f'no metrics.jsonl in {of_seed[seed]} (not trained here)'}"
        for seed, history in read.items()
    ]
    config = of_seed[seeds[0]] / "config.yaml"
    first = members[0]
    drawn = runs.charts(first.task, histories)
    return Section(
        task=first.task,
        system=first.system,
        training=training,
        charts=[Markup(curves.svg(chart)) for chart in drawn],
        legend=[Key(seed, curves.colour(seed, seeds)) for seed in seeds] if len(histories) > 1 else [],
        config=config.read_text(encoding="utf-8") if config.is_file() else "",
        samples=[_samples(next(group), clips, each) for _, group in groupby(members, key=lambda one: one.split)],
    )


def _samples(one: ScoreDir, clips: Clips, each: int) -> Samples:
    """Examples of a split's first seed."""
    items, data = one.path / "items.jsonl", one.data_dir(one.scores())
    for needed in (items, data / "wav.scp"):
        if not needed.is_file():
            return Samples(one.split, one.seed, [], f"no examples: {needed} is not there")
    return Samples(one.split, one.seed, bands(one.task, items, DataDir.load(data), clips, each))
