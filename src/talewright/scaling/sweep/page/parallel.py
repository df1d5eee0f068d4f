"""Parallel coordinates (Inselberg 1985): an axis for each setting that varies, and one for the bits per byte."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from talewright.config import flat, load_recipe, recipe_to_dict
from talewright.errors import visible
from talewright.files import json_text
from talewright.look import HOVER
from talewright.scaling.sweep.names import describe
from talewright.scaling.sweep.reading import Sweep
from talewright.scaling.sweep.results import PointResult

BITS = "bits per byte"
MOST_TICKS = 6
"""Values that an axis names one by one; an axis with more of them has a scale."""
LONGEST = 18
"""Characters of a value."""


@dataclass(frozen=True)
class Dimension:
    """An axis: where each row crosses it, from 0 at its bottom to 1, with the value as text; and its labels."""

    name: str
    positions: list[float]
    values: list[str]
    ticks: dict[str, float]


def dimensions(sweep: Sweep, rows: Sequence[PointResult]) -> list[Dimension]:
    """The settings in which the points differ, as their recipes resolve them."""
    names = list(dict.fromkeys(name for row in rows for name in sweep.settings(row.point)))
    recipes = [dict(flat(recipe_to_dict(load_recipe(sweep.recipe, sweep.overrides(row.point))))) for row in rows]
    columns = {name: [recipe.get(name) for recipe in recipes] for name in names}
    varied = {name: values for name, values in columns.items() if len({json_text(value) for value in values}) > 1}
    short = [name.rpartition(".")[2] for name in varied]
    return [
        dimension(name if short.count(last) > 1 else last, values)
        for last, (name, values) in zip(short, varied.items(), strict=True)
    ]


def dimension(name: str, values: Sequence[Any]) -> Dimension:
    """An axis for the values: few of them at equal distances in order, many numbers on a scale, a logarithmic one where
    they span more than a factor of 5.
    """
    texts = [_text(value) for value in values]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    distinct = sorted(set(values)) if numeric else list(dict.fromkeys(texts))
    if not numeric or len(distinct) <= MOST_TICKS:
        last = max(1, len(distinct) - 1)
        places = {_text(value): i / last for i, value in enumerate(distinct)}
        return Dimension(name, [places[text] for text in texts], texts, places if len(places) <= 2 * MOST_TICKS else {})
    low, high = float(min(values)), float(max(values))
    scale = math.log if low > 0 and high > 5 * low else float
    span = scale(high) - scale(low)
    fractions = [i / (MOST_TICKS - 2) for i in range(MOST_TICKS - 1)]
    marks = [scale(low) + fraction * span for fraction in fractions]
    ticks = {
        _text(math.exp(mark) if scale is math.log else mark): place
        for mark, place in zip(marks, fractions, strict=True)
    }
    return Dimension(name, [(scale(value) - scale(low)) / span for value in values], texts, ticks)


def parallel_chart(settings: Sequence[Dimension], rows: Sequence[PointResult]) -> dict[str, Any]:
    """The chart of these points in Vega-Lite. Hovering names a point and thickens its line."""
    axes = [*settings, _bits_axis([row.mean or 0.0 for row in rows])]
    crossings = [
        {
            "point": visible(describe(row.point)),
            "axis": axis.name,
            "position": round(axis.positions[i], 5),
            "value": visible(axis.values[i]),
            "bits": row.mean,
        }
        for i, row in enumerate(rows)
        for axis in axes
    ]
    ticks = [
        {"axis": axis.name, "position": place, "label": visible(label)}
        for axis in axes
        for label, place in axis.ticks.items()
    ]
    names = [axis.name for axis in axes]
    x = {"field": "axis", "type": "nominal", "sort": names, "title": None, "scale": {"type": "point", "padding": 0.5}}
    x["axis"] = {"orient": "top", "labelAngle": 0, "domain": False, "ticks": False, "labelLimit": 130}
    y = {"field": "position", "type": "quantitative", "axis": None, "scale": {"domain": [-0.03, 1.03], "nice": False}}
    return {
        "data": {"values": crossings},
        "encoding": {"x": x, "y": y},
        "layer": [_rules(names), *_lines(), *_labels(ticks)],
    }


def _rules(names: Sequence[str]) -> dict[str, Any]:
    data = [{"axis": name, "position": 0, "end": 1} for name in names]
    return {
        "data": {"values": data},
        "mark": {"type": "rule", "color": "@faint", "strokeWidth": 1},
        "encoding": {"y2": {"field": "end"}},
    }


def _lines() -> list[dict[str, Any]]:
    hover = HOVER | {"fields": ["point"]}
    tooltip = [{"field": "point"}, {"field": "axis", "title": "setting"}, {"field": "value"}]
    bits = {"field": "bits", "type": "quantitative", "format": ".4f", "title": BITS}
    scale = {"range": ["@blue", "@grey"], "zero": False, "nice": False}
    color = {"field": "bits", "type": "quantitative", "scale": scale, "legend": None}
    width = {"condition": {"param": "hover", "empty": False, "value": 4.5}, "value": 1.8}
    lines = {
        "mark": {"type": "line", "opacity": 0.85},
        "encoding": {"detail": {"field": "point"}, "strokeWidth": width},
    }
    points = {"mark": {"type": "point", "filled": True, "size": 30}, "params": [{"name": "hover", "select": hover}]}
    lines["encoding"] |= {"color": color}
    return [lines, points | {"encoding": {"color": color, "tooltip": [*tooltip, bits]}}]


def _labels(ticks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The labels of the axes, with an edge in the color of the card, so that lines do not cross them."""
    text = {"type": "text", "align": "left", "dx": 7, "fontSize": 12}
    encoding = {"text": {"field": "label"}}
    edge = {"stroke": "@card", "strokeWidth": 4, "strokeJoin": "round"}
    return [
        {"data": {"values": list(ticks)}, "mark": text | more, "encoding": encoding}
        for more in (edge, {"color": "@ink"})
    ]


def _bits_axis(values: Sequence[float]) -> Dimension:
    low, high = min(values), max(values)
    span = high - low or 1.0
    fractions = [0, 0.25, 0.5, 0.75, 1] if high > low else [0]
    ticks = {f"{low + fraction * span:.3f}": float(fraction) for fraction in fractions}
    return Dimension(BITS, [(value - low) / span for value in values], [f"{value:.4f}" for value in values], ticks)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else json_text(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
