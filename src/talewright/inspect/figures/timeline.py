"""The charts of a timeline: loss beside n-gram models, roles of heads, multiple-choice questions, over log steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from talewright.inspect.heads import ROLE_SHARE
from talewright.inspect.timeline import Timeline, TimelinePoint
from talewright.inspect.timeline_findings import duration

MAX_HEADS = 16
"""Heads in the chart of roles: those with the largest shares."""
OWN = "this model"
LEGEND = {"columns": 2, "symbolType": "stroke", "symbolOpacity": 1}
SERIES = {"field": "series", "type": "nominal", "title": None, "sort": None, "legend": LEGEND}
"""The color and the dashes of a line; two columns of names fit a phone."""


def timeline_charts(timeline: Timeline) -> dict[str, dict[str, Any]]:
    """The charts that the timeline has values for, by "loss", "roles" and "questions", as look.chart takes them."""
    last, charts = timeline.points[-1], {"loss": loss_chart(timeline)}
    if any(head.roles for head in last.heads):
        charts["roles"] = roles_chart(timeline)
    if last.kinds:
        charts["questions"] = questions_chart(timeline)
    return charts


def loss_chart(timeline: Timeline) -> dict[str, Any]:
    """The loss over the steps, and each n-gram model's as a level line."""
    points, first = timeline.points, timeline.points[0]
    rows = [_row(point, series=OWN, value=point.loss) for point in points]
    for name, loss in timeline.baselines.items():
        rows += [_row(point, series=name, value=loss) for point in (first, points[-1])]
    order = [OWN, *timeline.baselines]
    series = {**SERIES, "sort": order, "scale": {"domain": order}}
    dashes = {"domain": order, "range": [[1, 0], *[[2 + 2 * n, 3] for n in range(len(order) - 1)]]}
    y = {"field": "value", "type": "quantitative", "title": "loss, nats per token", "scale": {"zero": False}}
    return _chart(rows, {"y": y, "color": series, "strokeDash": {**series, "scale": dashes}}, "series", "loss")


def roles_chart(timeline: Timeline) -> dict[str, Any]:
    """Over the steps, the share of attention that fits a head's role, for the heads that have one at some point."""
    points, best = timeline.points, dict[tuple[int, str], float]()
    for point in points:
        for number, head in enumerate(point.heads):
            for role, share in head.roles.items():
                if head.role == role or point is points[-1]:
                    best[number, role] = max(best.get((number, role), 0.0), share)
    shown = sorted(best, key=best.__getitem__, reverse=True)
    with_role = [key for key in shown if best[key] >= ROLE_SHARE][:MAX_HEADS]
    rows = [
        _row(point, series=role, value=point.heads[number].roles[role], head=point.heads[number].name)
        for number, role in with_role or shown[:1]
        for point in points
    ]
    y = {
        "field": "value",
        "type": "quantitative",
        "title": "share of attention",
        "axis": {"format": "%"},
        "scale": {"domain": [0, 1]},
    }
    encoding = {"y": y, "color": SERIES, "detail": {"field": "head"}, "strokeDash": SERIES}
    return _chart(rows, encoding, "role", "share of attention", level=ROLE_SHARE)


def questions_chart(timeline: Timeline) -> dict[str, Any]:
    """Over the steps, the share of each kind of question that was right."""
    rows = [
        _row(point, series=kind, value=figures["accuracy"], interval=_interval(figures))
        for point in timeline.points
        for kind, figures in point.kinds.items()
    ]
    chance = next(iter(timeline.points[-1].kinds.values()))["chance"]
    y = {
        "field": "value",
        "type": "quantitative",
        "title": "right",
        "axis": {"format": "%"},
        "scale": {"domain": [0, 1]},
    }
    return _chart(rows, {"y": y, "color": SERIES, "strokeDash": SERIES}, "questions on", "right", level=chance)


def _row(point: TimelinePoint, series: str, value: float, **more: Any) -> dict[str, Any]:
    time = {} if point.seconds is None else {"time": duration(point.seconds)}
    return {"step": point.step, "series": series, "value": round(value, 4), **time, **more}


def _interval(figures: dict[str, Any]) -> str:
    return f"{100 * figures['low']:.0f} to {100 * figures['high']:.0f} %"


def _chart(
    rows: list[dict[str, Any]], encoding: dict[str, Any], series: str, value: str, level: float | None = None
) -> dict[str, Any]:
    """Lines with points over a logarithmic axis of steps, with tooltips and a legend that shows one alone. Rows with
    the same "series" have one color; `level` is drawn as a dotted line.
    """
    names = {"step": "step", "time": "training time", "head": "head", "series": series, "value": value}
    names["interval"] = "95% interval"
    percent = encoding["y"].get("axis", {}).get("format") == "%"
    formats = {"step": ",d", "value": ".0%" if percent else ".3f"}
    tooltip = [
        {
            "field": name,
            "title": title,
            "type": "quantitative" if name in formats else "nominal",
            **({"format": formats[name]} if name in formats else {}),
        }
        for name, title in names.items()
        if name in rows[0]
    ]
    lines = {
        "params": [{"name": "shown", "select": {"type": "point", "fields": ["series"]}, "bind": "legend"}],
        "transform": [{"filter": {"param": "shown"}}],
        "mark": {"type": "line", "point": {"size": 45}},
        "encoding": {"x": _step_axis(rows), **encoding, "tooltip": tooltip},
    }
    if level is None:
        return {"data": {"values": rows}, **lines}
    rule = {
        "data": {"values": [{"level": level}]},
        "mark": {"type": "rule", "strokeDash": [2, 4], "color": "@grey"},
        "encoding": {"y": {"field": "level", "type": "quantitative"}},
    }
    return {"data": {"values": rows}, "layer": [rule, lines]}


def _step_axis(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A logarithmic axis that also has the untrained model, step 0: log(1 + step)."""
    last = max(row["step"] for row in rows)
    decades = [10**n for n in range(len(str(last)))]
    return {
        "field": "step",
        "type": "quantitative",
        "title": "optimizer step",
        "scale": {"type": "symlog", "constant": 1, "domain": [0, last], "nice": False},
        "axis": {"values": [0, *decades, last] if last > 2 * decades[-1] else [0, *decades], "format": ",d"},
    }
