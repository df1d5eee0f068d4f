"""Vega-Lite specifications for `look.chart`: what the panels of predictions, attention and weights have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from talewright import look

Row = Mapping[str, Any]
Encoding = dict[str, Any]

ZOOM = {"name": "zoom", "select": look.ZOOM, "bind": "scales"}
"""A parameter: drag to move, pinch or hold Ctrl and scroll to zoom, double-click to reset."""
SEVERAL_HEIGHT = 340
"""Pixels of a chart whose legend has several lines."""


def rounded(value: float, digits: int = 4) -> float:
    """To a few significant digits: more do not show."""
    return float(f"{float(value):.{digits}g}")


def axis(field: str, title: str | None, **options: Any) -> Encoding:
    """A quantity along an axis, from 0 unless `scale` says otherwise."""
    return {"field": field, "type": "quantitative", "title": title, **options}


def categories(field: str, title: str | None, **options: Any) -> Encoding:
    """Categories along an axis, in the order of the data."""
    return {"field": field, "type": "nominal", "title": title, "sort": None, **options}


def tooltip(**titles: str) -> list[Encoding]:
    """What is shown at a mark: by field, its title."""
    return [{"field": field, "title": title} for field, title in titles.items()]


def series_color(field: str, names: Sequence[str], *channels: str) -> dict[str, Any]:
    """The encoding and the parameter of several series: a color each, and a legend that shows one alone.

    channels: in which they differ besides, such as "shape".
    """
    scale = {"domain": list(names)}
    columns = 4 if max(map(len, names)) < 10 else 2
    legend = {"symbolOpacity": 1, "columns": columns} if len(names) > 1 else None
    color = {"field": field, "type": "nominal", "title": None, "scale": scale, "legend": legend}
    found: dict[str, Any] = {"encoding": dict.fromkeys(("color", *channels), color), "params": []}
    if len(names) > 1:
        found["encoding"]["opacity"] = {"condition": {"param": "shown", "value": 0.95}, "value": 0.08}
        found["params"].append({"name": "shown", "select": {"type": "point", "fields": [field]}, "bind": "legend"})
    return found


def points_by_layer(rows: Sequence[Row], kinds: Sequence[str], title: str) -> dict[str, Any]:
    """Points without lines between them, because layers are not time. Rows: layer, kind, value."""
    series = series_color("kind", kinds, "shape")
    return {
        "height": SEVERAL_HEIGHT,
        "data": {"values": list(rows)},
        "mark": {"type": "point", "filled": True, "size": 70},
        "params": series["params"],
        "encoding": {
            "x": categories("layer", "layer", axis={"labelAngle": 0, "labelOverlap": True, "grid": True}),
            "y": axis("value", title),
            "tooltip": tooltip(kind="matrix", layer="layer", value=title),
            **series["encoding"],
        },
    }


def lines(rows: Sequence[Row], names: Sequence[str], x: Encoding, y: Encoding, points: bool = True) -> dict[str, Any]:
    """Lines over a quantity, which a reader can zoom. Rows: `name`, and the fields of x and y."""
    series = series_color("name", names, "strokeDash")
    if len(names) > 1:
        series["encoding"]["color"]["legend"] |= {"symbolType": "stroke"}
    return {
        **({"height": SEVERAL_HEIGHT} if len(names) > 4 else {}),
        "data": {"values": list(rows)},
        "mark": {"type": "line", "point": {"size": 40} if points else False, "clip": True},
        "params": [ZOOM, *series["params"]],
        "encoding": {
            "x": x,
            "y": y,
            "tooltip": tooltip(name="line", **{x["field"]: x["title"], y["field"]: y["title"]}),
            **series["encoding"],
        },
    }


def bars(rows: Sequence[Row], x: Encoding, y: Encoding, tips: list[Encoding], labels: str = "") -> dict[str, Any]:
    """Bars; with a `labels` format, their values are written above them."""
    layers: list[dict[str, Any]] = [
        {"mark": {"type": "bar"}, "encoding": {"tooltip": tips, "color": _sign(y["field"])}},
    ]
    if labels:
        text = {"field": y["field"], "type": "quantitative", "format": labels}
        layers.append({"mark": {"type": "text", "dy": -8, "color": "@ink"}, "encoding": {"text": text}})
    return {"data": {"values": list(rows)}, "encoding": {"x": x, "y": y}, "layer": layers}


def _sign(field: str) -> Encoding:
    """Blue, and orange below 0."""
    return {"condition": {"test": f"datum[{field!r}] < 0", "value": "@orange"}, "value": "@blue"}


def shares_map(rows: Sequence[Row], x: Encoding, y: Encoding, largest: float, tips: list[Encoding]) -> dict[str, Any]:
    """A heat map of `share`, in percent, in the colors of attention: from the card's color, 0, to blue, the largest."""
    scale = {"domain": [0, largest], "range": ["@card", "@blue"], "interpolate": "rgb"}
    color = axis(
        "share",
        "share of attention, %",
        scale=scale,
        legend={"gradientLength": 160, "tickCount": 4, "titleFontWeight": "normal"},
    )
    return {
        "data": {"values": list(rows)},
        "encoding": {"x": x, "y": y},
        "layer": [{"mark": {"type": "rect", "stroke": "@line"}, "encoding": {"color": color, "tooltip": tips}}],
    }
