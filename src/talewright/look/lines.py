"""A chart of lines over the optimizer step, to hover, zoom and read one line at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from talewright.look.charts import HOVER, ZOOM, legend_columns

LOSS_TITLES = {"step": "optimizer step", "loss": "loss, nats per token"}
DIGITS = 5
"""Significant digits of the values: more do not show."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a chart."""

    name: str
    points: Sequence[Mapping[str, float | None]] = ()
    """Each with a "step", the value drawn, and what else its tooltip shows: the fields that it has."""
    color: str
    """A name of look's palette."""
    dashes: Sequence[int] = (1, 0)
    marked: bool = False
    """Whether its points show."""
    faint: bool = False
    """Whether it is thin and pale, behind the others."""


def line_chart(lines: Sequence[Line], y: str, titles: Mapping[str, str]) -> dict[str, Any]:
    """Lines over the optimizer step: a tooltip at the nearest point, zoom, and for several a legend that shows one
    alone. Its data set is called "lines".

    y: the field drawn. titles: by field, its label, in the order of the tooltip.
    """
    names, several = [line.name for line in lines], len(lines) > 1
    rows = [{"line": line.name, **_rounded(point)} for line in lines for point in line.points]
    color = _by_line(names, [f"@{line.color}" for line in lines])
    legend = {"symbolType": "stroke", "symbolOpacity": 1, "columns": legend_columns(names)}
    color["legend"] = legend if several else None
    x_axis = {"grid": False, "format": ",d"}
    encoding = {
        "x": {"field": "step", "type": "quantitative", "title": titles["step"], "axis": x_axis},
        "y": {"field": y, "type": "quantitative", "title": titles[y], "scale": {"zero": False}},
        "color": color,
    }
    layers = [*_line_layers(lines), *_marked_layer(lines), _hover_layer(lines, titles)]
    if several:
        layers[0]["params"].append({"name": "shown", "select": {"type": "point", "fields": ["line"]}, "bind": "legend"})
        for layer in layers:
            layer["transform"].append({"filter": {"param": "shown"}})
    return {"datasets": {"lines": rows}, "data": {"name": "lines"}, "encoding": encoding, "layer": layers}


def _line_layers(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The faint lines, then the others. The first layer has the zoom."""
    layers: list[dict[str, Any]] = []
    for faint, mark in ((True, {"strokeWidth": 1, "opacity": 0.45}), (False, {"strokeWidth": 2, "opacity": 1})):
        names = [line.name for line in lines if line.faint == faint]
        if names:
            layers.append({"mark": {"type": "line", "clip": True, **mark}, "transform": [_only(names)]})
    dashes = _by_line([line.name for line in lines], [list(line.dashes) for line in lines])
    layers[-1]["encoding"] = {"strokeDash": dashes | ({} if len(lines) > 1 else {"legend": None})}
    layers[0]["params"] = [{"name": "zoom", "select": ZOOM, "bind": "scales"}]
    return layers


def _marked_layer(lines: Sequence[Line]) -> list[dict[str, Any]]:
    marked = [line.name for line in lines if line.marked]
    mark = {"type": "point", "filled": True, "size": 30, "opacity": 1, "clip": True}
    return [{"mark": mark, "transform": [_only(marked)]}] if marked else []


def _hover_layer(lines: Sequence[Line], titles: Mapping[str, str]) -> dict[str, Any]:
    """The point nearest to the pointer, with its tooltip; the other points are there, but not seen."""
    clear = [line.name for line in lines if not line.faint]
    point = "(datum.datum || datum)"  # `nearest` wraps it
    parts = [f"{{title: {point}.line}}"]
    for field, title in titles.items():
        value = f"{point}[{field!r}]"  # no quotes that JSON escapes: the studio's templates lose backslashes
        parts.append(f"isValid({value}) ? {{{title!r}: format({value}, ',.4~r')}} : {{}}")
    tooltip = {"expr": f"merge({', '.join(parts)})"}
    return {
        "mark": {"type": "point", "filled": True, "size": 70, "clip": True, "tooltip": tooltip},
        "encoding": {"opacity": {"condition": {"param": "hover", "empty": False, "value": 1}, "value": 0}},
        "params": [{"name": "hover", "select": HOVER}],
        "transform": [_only(clear)],
    }


def _only(names: Sequence[str]) -> dict[str, Any]:
    return {"filter": {"field": "line", "oneOf": list(names)}}


def _by_line(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    return {"field": "line", "type": "nominal", "title": None, "scale": {"domain": list(names), "range": list(values)}}


def _rounded(point: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value for name, value in point.items()}
