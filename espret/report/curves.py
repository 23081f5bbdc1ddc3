"""Line charts as inline SVG: coloured by the page's style sheet (light and dark), with the values under the pointer.

Drawn here rather than by matplotlib because its SVG has fixed colours and no hover; its tick locator is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from matplotlib.ticker import MaxNLocator

from espret.report.runs import Chart, Curve

WIDTH, HEIGHT = 320, 190
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 26, 34
READ = 8  # values shown below the axis for the epoch that is pointed at; the tooltip has them all
COLOURS = 6  # classes c0..c5 in the style sheet; more seeds than that share them


class Scale:
    """Maps values linearly from (low, high) to pixels (start, end)."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.start = low, start
        self.factor = (end - start) / (high - low)

    def __call__(self, value: float) -> str:
        return f"{self.start + (value - self.low) * self.factor:.1f}"


def svg(chart: Chart) -> str:
    """The chart as an `<svg>` element. Text is escaped; colours and strokes come from the page's classes."""
    seeds = sorted({curve.seed for curve in chart.curves})
    epochs = sorted({epoch for curve in chart.curves for epoch, _ in curve.points})
    drawn = sorted(chart.curves, key=lambda curve: (not curve.training, curve.seed))
    values = [value for curve in chart.curves for _, value in curve.points]
    ticks = _ticks(min(values), max(values), 4)
    x = Scale(*_span(epochs[0], epochs[-1]), LEFT, WIDTH - RIGHT)
    y = Scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(_summary(chart))}">',
        f'<text class="title" x="{LEFT}" y="14">{escape(chart.title)}</text>',
        *(_rule(y(tick), f"{tick:g}") for tick in ticks),
        f'<text class="tick end" x="{LEFT - 6}" y="{HEIGHT - BOTTOM + 14}">epoch</text>',
        *(_epoch_label(x(epoch), epoch) for epoch in _epoch_ticks(epochs)),
        *(_line(curve, seeds, x, y) for curve in drawn),
        *(_reading(epoch, drawn, seeds, x, y, _reach(epochs)) for epoch in epochs),
        "</svg>",
    ]
    return "".join(parts)


def colour(seed: int, seeds: Sequence[int]) -> str:
    """The class that colours a seed among `seeds`."""
    return f"c{list(seeds).index(seed) % COLOURS}"


def _summary(chart: Chart) -> str:
    ends = [f"{_name(curve)} from {curve.points[0][1]:.4g} to {curve.points[-1][1]:.4g}" for curve in chart.curves]
    return f"{chart.title} by epoch: {'; '.join(ends)}"


def _name(curve: Curve) -> str:
    return f"{curve.name}, seed {curve.seed}"


def _span(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low - 1, high + 1)


def _ticks(low: float, high: float, most: int) -> list[float]:
    low, high = (low, high) if high > low else (low - (abs(low) or 1) / 10, high + (abs(high) or 1) / 10)
    return [float(tick) for tick in MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]


def _epoch_ticks(epochs: Sequence[int]) -> list[int]:
    wanted = MaxNLocator(nbins=6, integer=True).tick_values(epochs[0], epochs[-1])
    inside = [int(tick) for tick in wanted if epochs[0] <= tick <= epochs[-1] and float(tick).is_integer()]
    return inside or [epochs[0]]


def _reach(epochs: Sequence[int]) -> float:
    """Half the width, in pixels, of the strip that reads off one epoch."""
    return (WIDTH - LEFT - RIGHT) / max(epochs[-1] - epochs[0], 1) / 2


def _rule(y: str, label: str) -> str:
    return (
        f'<path class="rule" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>'
        f'<text class="tick end" x="{LEFT - 6}" y="{y}" dy="3.5">{label}</text>'
    )


def _epoch_label(x: str, epoch: int) -> str:
    return f'<text class="tick mid" x="{x}" y="{HEIGHT - BOTTOM + 14}">{epoch}</text>'


def _line(curve: Curve, seeds: Sequence[int], x: Scale, y: Scale) -> str:
    classes = f"line {colour(curve.seed, seeds)}{' training' if curve.training else ''}"
    if len(curve.points) == 1:
        ((epoch, value),) = curve.points
        return f'<circle class="dot {colour(curve.seed, seeds)}" cx="{x(epoch)}" cy="{y(value)}" r="2.5"/>'
    path = "L".join(f"{x(epoch)} {y(value)}" for epoch, value in curve.points)
    return f'<path class="{classes}" d="M{path}"/>'


def _reading(epoch: int, curves: Sequence[Curve], seeds: Sequence[int], x: Scale, y: Scale, reach: float) -> str:
    """The strip over one epoch: invisible until pointed at, then a line, dots and the values below the axis."""
    here = [(curve, value) for curve in curves for at, value in curve.points if at == epoch]
    dots = [f'<circle class="dot {colour(c.seed, seeds)}" cx="{x(epoch)}" cy="{y(v)}" r="2.5"/>' for c, v in here]
    words, kind = [], ""
    for curve, value in here[:READ]:
        shown = f"{curve.name} {value:.3g}" if curve.name != kind else f"{value:.3g}"
        words.append(f'<tspan class="{colour(curve.seed, seeds)}" dx="6">{escape(shown)}</tspan>')
        kind = curve.name
    if len(here) > READ:
        words.append(" …")
    title = "\n".join([f"epoch {epoch}", *(f"{_name(curve)}: {value:.5g}" for curve, value in here)])
    left = float(x(epoch)) - reach
    return (
        f'<g class="at"><rect x="{left:.1f}" y="{TOP}" width="{2 * reach:.1f}" height="{HEIGHT - TOP - BOTTOM}">'
        f'<title>{escape(title)}</title></rect><path d="M{x(epoch)} {TOP}V{HEIGHT - BOTTOM}"/>{"".join(dots)}'
        f'<text class="reading" x="{LEFT - 34}" y="{HEIGHT - 5}">epoch {epoch}{"".join(words)}</text></g>'
    )
