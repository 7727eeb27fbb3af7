"""A bar chart as SVG: groups of bars on a logarithmic scale, each with its spread."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.measure import Spread

_COLOURS = ("#1b6ca8", "#e07b39", "#8c6bb1", "#5f9e6e", "#b5b5b5", "#c44e52")
_WIDTH, _RIGHT = 560, 90
_LETTER = 6.8
"""How wide one is, about: a picture cannot ask its reader's fonts."""
_BAR, _GAP, _TOP = 14, 14, 62
_Scale = Callable[[float], float]
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.t{font-size:15px;font-weight:600}"
    ".g{stroke:#ddd}.s{stroke:#222}.b{fill:#fff}"
)


@dataclass(frozen=True)
class Bar:
    """One bar. group: what it stands under. name: whose it is, which gives it its colour."""

    group: str
    name: str
    seconds: Spread


def picture(title: str, bars: Sequence[Bar]) -> str:
    """Return the chart as the text of an SVG file."""
    names = list(dict.fromkeys(bar.name for bar in bars))
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(names)}
    left = 20 + _LETTER * max(len(bar.group) for bar in bars)
    low = 10 ** math.floor(math.log10(min(bar.seconds.low for bar in bars)))
    high = 10 ** math.ceil(math.log10(max(bar.seconds.high for bar in bars) * 1.01))

    def x(seconds: float) -> float:
        return left + _WIDTH * math.log10(seconds / low) / math.log10(high / low)

    body, y, group = [], float(_TOP), ""
    for bar in bars:
        if bar.group != group:
            y += _GAP
            group = bar.group
            body.append(_text(left - 8, y + 11, group, "end"))
        body += _bar(bar, x, left, y, colours[bar.name])
        y += _BAR
    height = y + 34
    grid = [
        f'<line class="g" x1="{x(10**power):.1f}" x2="{x(10**power):.1f}" y1="{_TOP}" '
        f'y2="{y + 6:.0f}"/>' + _text(x(10**power), y + 20, f"{10.0**power:g} s", "middle")
        for power in range(round(math.log10(low)), round(math.log10(high)) + 1)
    ]
    legend, end = _legend(colours)
    width = round(max(left + _WIDTH + _RIGHT, end))
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" '
        f'width="{width}" height="{height:.0f}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect class="b" width="{width}" height="{height:.0f}"/>',
        f'<text class="t" x="12" y="24">{escape(title)}</text>',
        *legend,
    ]
    return "\n".join([*head, *grid, *body, "</svg>", ""])


def _bar(bar: Bar, x: _Scale, left: float, y: float, colour: str) -> list[str]:
    seconds, middle = bar.seconds, y + _BAR / 2
    end = x(seconds.median)
    return [
        f'<rect x="{left:.1f}" y="{y + 1:.0f}" width="{max(end - left, 1):.1f}" '
        f'height="{_BAR - 2}" fill="{colour}"/>',
        f'<line class="s" x1="{x(seconds.low):.1f}" x2="{x(seconds.high):.1f}" '
        f'y1="{middle:.1f}" y2="{middle:.1f}"/>',
        _text(max(end, x(seconds.high)) + 6, y + 11, f"{seconds.median:.3g}", "start"),
    ]


def _legend(colours: dict[str, str]) -> tuple[list[str], float]:
    """Return the legend, and where it ends."""
    parts, at = [], 12.0
    for name, colour in colours.items():
        parts.append(f'<rect x="{at:.0f}" y="37" width="11" height="11" fill="{colour}"/>')
        parts.append(_text(at + 16, 47, name, "start"))
        at += 30 + _LETTER * len(name)
    return parts, at


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
