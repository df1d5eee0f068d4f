"""The charts of a sweep's page in Vega-Lite: learning curves, the frontier, and the points side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from talewright.errors import visible
from talewright.look import HOVER, SERIES, ZOOM
from talewright.scaling.sweep.names import describe
from talewright.scaling.sweep.results import PointResult, Trial, curve_of

MOST_NAMED = len(SERIES) - 1
"""Points with a color of their own, the best ones; the others share one."""
OTHERS = "other points"
MOST_POINTS = 40
"""Points side by side: the best ones."""
ROW_HEIGHT = 26


@dataclass(frozen=True)
class Cost:
    """What training costs: the column of a run's curve, and its title."""

    name: str
    title: str


COSTS = (Cost("tokens", "training tokens"), Cost("minutes", "minutes of training"), Cost("flops", "training FLOPs"))


def cost_rows(rows: Sequence[PointResult], trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """A row for each evaluation of each run that is here, the untrained ones left out; `last` marks the end of a
    complete run.
    """
    ranks = {describe(row.point): rank for rank, row in enumerate(rows)}
    found: list[dict[str, Any]] = []
    for trial in sorted(trials, key=lambda each: ranks[describe(each.point)]):
        if trial.state not in ("complete", "pruned") or not (trial.run / "recipe.yaml").is_file():
            continue
        curve, name = curve_of(trial.run), describe(trial.point)
        named = ranks[name] < MOST_NAMED
        evaluations = [i for i, tokens in enumerate(curve["tokens"]) if tokens > 0]
        found += [
            {
                "point": visible(name),
                "seed": trial.seed,
                "run": trial.run.name,
                "series": visible(name) if named else OTHERS,
                "state": trial.state,
                "bits": round(curve["bits_per_byte"][i], 5),
                **{cost.name: curve[cost.name][i] for cost in COSTS},
                "last": trial.state == "complete" and i == evaluations[-1],
            }
            for i in evaluations
        ]
    return found


def dividing_cost(rows: Sequence[dict[str, Any]]) -> Cost:
    """The cost to compare the ends of the runs by: FLOPs, if they differ in them, or else tokens or minutes."""
    ends = [row for row in rows if row["last"]]
    differing = [cost for cost in reversed(COSTS) if len({round(row[cost.name], 2) for row in ends}) > 1]
    return next((cost for cost in differing if cost.name != "minutes"), COSTS[1])


def curves_chart(rows: Sequence[dict[str, Any]], cost: Cost) -> dict[str, Any]:
    """Learning curves of all runs against a cost. Hovering names the point and the seed, and thickens its line."""
    width = {"condition": {"param": "hover", "empty": False, "value": 4}, "value": 1.6}
    opacity = {"condition": {"param": "shown", "value": 0.9}, "value": 0.08}

    dashes = {
        "field": "state",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": ["complete", "pruned"], "range": [[1, 0], [5, 4]]},
    }
    lines = {
        "mark": {"type": "line", "clip": True},
        "params": [
            {"name": "shown", "select": {"type": "point", "fields": ["series"]}, "bind": "legend"},
            {"name": "zoom", "select": ZOOM, "bind": "scales"},
        ],
        "encoding": {"detail": {"field": "run"}, "strokeDash": dashes, "strokeWidth": width, "opacity": opacity},
    }
    values = {
        "mark": {"type": "point", "filled": True, "size": 30, "clip": True},
        "params": [{"name": "hover", "select": HOVER | {"fields": ["run"]}}],
        "encoding": {"opacity": opacity, "tooltip": _tooltip()},
    }
    return {"data": {"values": list(rows)}, "encoding": _against_cost(rows, cost), "layer": [lines, values]}


def frontier_chart(rows: Sequence[dict[str, Any]], cost: Cost) -> dict[str, Any]:
    """The ends of the complete runs, and as a step line the lowest bits per byte that one of them has reached at that
    cost or less.
    """
    ends = [row for row in rows if row["last"]]
    best = {
        "transform": [
            {
                "sort": [{"field": cost.name}],
                "frame": [None, 0],
                "window": [{"op": "min", "field": "bits", "as": "best"}],
            }
        ],
        "mark": {
            "type": "line",
            "interpolate": "step-after",
            "color": "@ink",
            "strokeDash": [4, 3],
            "strokeWidth": 1.5,
        },
        "encoding": {"y": {"field": "best"}, "order": {"field": cost.name}},
    }
    points = {
        "mark": {"type": "point", "filled": True, "size": 80, "opacity": 0.9},
        "encoding": {"color": _color(rows), "tooltip": _tooltip()},
    }
    encoding = _against_cost(rows, cost)
    del encoding["color"]
    return {"data": {"values": ends}, "encoding": encoding, "layer": [best, points]}


def points_chart(rows: Sequence[PointResult]) -> tuple[dict[str, Any], int]:
    """Each run of each point, and their mean, the best point on top; and the height of the chart."""
    shown = list(rows[:MOST_POINTS])
    names = [visible(describe(row.point)) for row in shown]
    runs = [
        {"point": name, "bits": bits, "seed": seed}
        for name, row in zip(names, shown, strict=True)
        for seed, bits in row.by_seed.items()
    ]
    means = [{"point": name, "bits": row.mean, "seed": "mean"} for name, row in zip(names, shown, strict=True)]
    tooltip = [{"field": "point"}, {"field": "seed"}, {"field": "bits", "format": ".4f", "title": "bits per byte"}]
    x = {"field": "bits", "type": "quantitative", "title": "bits per byte", "scale": {"zero": False}}
    y = {
        "field": "point",
        "type": "nominal",
        "title": None,
        "sort": names,
        "axis": {"labelLimit": {"expr": "min(340, 0.45 * windowSize()[0])"}, "grid": True},
    }
    marks: list[dict[str, Any]] = [
        {"data": {"values": runs}, "mark": {"type": "point", "filled": True, "size": 55, "color": "@blue"}},
        {"data": {"values": means}, "mark": {"type": "tick", "color": "@ink", "thickness": 2, "size": 18}},
    ]
    return {"encoding": {"x": x, "y": y, "tooltip": tooltip}, "layer": marks}, ROW_HEIGHT * len(shown) + 50


def _against_cost(rows: Sequence[dict[str, Any]], cost: Cost) -> dict[str, Any]:
    """Bits per byte against a cost; the page's script replaces it with another."""
    axis = {"format": "~s", "grid": False}
    x = {"field": cost.name, "type": "quantitative", "title": cost.title, "axis": axis}
    y = {"field": "bits", "type": "quantitative", "title": "bits per byte", "scale": {"zero": False}}
    return {"x": x | {"scale": {"zero": False}}, "y": y, "color": _color(rows)}


def _color(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A color for each of the best points, in the order of the rows, and gray for the others."""
    names = list(dict.fromkeys(row["series"] for row in rows if row["series"] != OTHERS))
    colors = [f"@{name}" for name in SERIES if name != "grey"][: len(names)]
    if any(row["series"] == OTHERS for row in rows):
        names, colors = [*names, OTHERS], [*colors, "@grey"]
    legend = {"columns": {"expr": "max(1, floor(width / 280))"}, "symbolType": "circle"}
    scale = {"domain": names, "range": colors}
    return {"field": "series", "type": "nominal", "title": None, "scale": scale, "legend": legend}


def _tooltip() -> list[dict[str, Any]]:
    formats = {"tokens": ",.0f", "minutes": ".2f", "flops": ".2e"}
    costs = [
        {"field": cost.name, "type": "quantitative", "format": formats[cost.name], "title": cost.title}
        for cost in COSTS
    ]
    bits = {"field": "bits", "type": "quantitative", "format": ".4f", "title": "bits per byte"}
    return [{"field": "point"}, {"field": "seed"}, bits, *costs, {"field": "state"}]
