"""The live page as one file that loads nothing from elsewhere, and asks only the training for its progress."""

from __future__ import annotations

from importlib import resources
from string import Template
from typing import Any

from talewright.live.progress import TRAINING, VALIDATION
from talewright.look import HOVER, ZOOM, chart, chart_script, legend_columns, page_style

LABEL = "Training loss, smoothed, and validation loss against the optimizer step, with the losses of n-gram models"


def page() -> str:
    """The page, without any progress yet."""
    files = resources.files("talewright.live") / "page"
    parts = {name: (files / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js")}
    return Template(parts["page.html"]).substitute(
        style=page_style() + parts["page.css"],
        chart=chart(loss_chart(), LABEL, height=420),
        charts=chart_script(),
        script=parts["page.js"],
    )


def loss_chart() -> dict[str, Any]:
    """The loss chart in Vega-Lite, without rows: `losses` (series, step, loss) and `baselines` (name, loss)."""
    loss: dict[str, Any] = {"field": "loss", "type": "quantitative", "title": "loss, nats per token"}
    loss["scale"] = {"zero": False, "type": "linear"}
    return {
        "datasets": {"losses": [], "baselines": []},
        "data": {"name": "losses"},
        "encoding": {"y": loss},
        "layer": [_lines(), _values(), *_baselines()],
    }


def _lines() -> dict[str, Any]:
    """The two losses. A click on a name of the legend shows its line alone; the chart can be moved and zoomed."""

    return {
        "mark": {"type": "line", "clip": True, "point": False},
        "params": [
            {"name": "shown", "select": {"type": "point", "fields": ["series"]}, "bind": "legend"},
            {"name": "zoom", "select": ZOOM, "bind": "scales"},
        ],
        "encoding": _of_series({"opacity": {"condition": {"param": "shown", "value": 1}, "value": 0.1}}),
    }


def _values() -> dict[str, Any]:
    """A point at each evaluation, and at the value under the pointer."""

    opacity = {
        "condition": [
            {"param": "hover", "empty": False, "value": 1},
            {"test": {"and": [{"field": "series", "equal": VALIDATION}, {"param": "shown"}]}, "value": 1},
        ],
        "value": 0,
    }
    tooltip = [
        {"field": "series", "title": "loss"},
        {"field": "step", "type": "quantitative", "format": ","},
        {"field": "loss", "type": "quantitative", "format": ".3f", "title": "nats per token"},
    ]
    return {
        "mark": {"type": "point", "filled": True, "size": 45, "clip": True},
        "params": [{"name": "hover", "select": HOVER}],
        "encoding": _of_series({"opacity": opacity, "tooltip": tooltip}),
    }


def _of_series(more: dict[str, Any]) -> dict[str, Any]:
    domain = [TRAINING, VALIDATION]
    return {
        "x": {
            "field": "step",
            "type": "quantitative",
            "title": "optimizer step",
            "axis": {"format": ",d", "grid": False},
        },
        "color": {
            "field": "series",
            "type": "nominal",
            "title": None,
            "scale": {"domain": domain},
            "legend": {"columns": legend_columns(domain)},
        },
    } | more


def _baselines() -> list[dict[str, Any]]:
    """A line and a name for each n-gram model."""
    data = {"name": "baselines"}
    text = {"type": "text", "align": "right", "baseline": "bottom", "dy": -3, "clip": True}
    return [
        {"data": data, "mark": {"type": "rule", "color": "@grey", "strokeDash": [5, 4], "clip": True}},
        {"data": data, "mark": text, "encoding": {"x": {"value": "width"}, "text": {"field": "name"}}},
    ]
