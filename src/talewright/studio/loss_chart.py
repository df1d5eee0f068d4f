"""The loss chart of the tab Watch: one large chart in Vega-Lite, and the rows that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from talewright.look import HOVER, chart, legend_columns
from talewright.run.history import History

MAX_POINTS = 1200
"""Points of the training loss that are sent to the page: of a longer run, each is the mean of several steps."""
HEIGHT = 380
LABEL = "Training and validation loss against the optimizer step"
TRAINING, SMOOTHED, VALIDATION = "training", "training, smoothed", "validation"


def loss_chart() -> str:
    """The chart, without rows: `watch.js` fills its data set `losses` (line, step, loss), and smooths the training
    losses by the page's slider.
    """
    x = {
        "field": "step",
        "type": "quantitative",
        "title": "optimizer step",
        "axis": {"format": ",d", "grid": False},
        "scale": {"nice": False},
    }
    y = {"field": "loss", "type": "quantitative", "title": "loss, nats per token", "scale": {"zero": False}}
    domain = [SMOOTHED, VALIDATION, TRAINING]
    colors = {"domain": domain, "range": ["@blue", "@orange", "@grey"]}
    legend = {"symbolType": "stroke", "columns": legend_columns(domain)}
    line = {"field": "line", "type": "nominal", "title": None, "scale": colors, "legend": legend}
    specification = {
        "datasets": {"losses": []},
        "data": {"name": "losses"},
        "encoding": {"x": x, "y": y, "color": line},
        "layer": [
            _line([TRAINING], strokeWidth=1, opacity=0.4),
            _line([SMOOTHED, VALIDATION], strokeWidth=2),
            _points(),
        ],
    }
    return chart(specification, LABEL, HEIGHT)


def loss_rows(history: History) -> dict[str, list[list[float]]]:
    """(step, loss) pairs by line."""
    training = _pairs(history.training)
    width = -(-len(training) // MAX_POINTS) or 1
    groups = [training[i : i + width] for i in range(0, len(training), width)]
    return {TRAINING: [_mean(group) for group in groups], VALIDATION: _pairs(history.evaluations)}


def _line(names: Sequence[str], **mark: Any) -> dict[str, Any]:
    return {"mark": {"type": "line", "clip": True, **mark}, "transform": [_only(names)]}


def _points() -> dict[str, Any]:
    """The evaluations as points, and the point that is nearest to the pointer, with its values."""

    shown = [{"param": "hover", "empty": False, "value": 1}, {"test": f"datum.line === '{VALIDATION}'", "value": 1}]
    tooltip = [
        {"field": "line", "title": "loss"},
        {"field": "step", "type": "quantitative", "format": ",d"},
        {"field": "loss", "type": "quantitative", "format": ".3f", "title": "nats per token"},
    ]
    return {
        "mark": {"type": "point", "filled": True, "size": 45, "clip": True},
        "params": [{"name": "hover", "select": HOVER}],
        "encoding": {"opacity": {"condition": shown, "value": 0}, "tooltip": tooltip},
        "transform": [_only([SMOOTHED, VALIDATION])],
    }


def _only(names: Sequence[str]) -> dict[str, Any]:
    return {"filter": {"field": "line", "oneOf": list(names)}}


def _pairs(columns: dict[str, list[Any]]) -> list[list[float]]:
    pairs = zip(columns["step"], columns["loss"], strict=True)
    return [[step, round(loss, 4)] for step, loss in pairs if loss is not None]


def _mean(group: Sequence[Sequence[float]]) -> list[float]:
    """The last step of the group, and the mean loss."""
    return [group[-1][0], round(sum(loss for _, loss in group) / len(group), 4)]
