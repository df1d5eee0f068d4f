"""Charts that one can hover, zoom and toggle, by Vega-Lite (Satyanarayan et al. 2017), in a file that works offline.

A chart is a Vega-Lite specification, a dict: data, mark and encoding. Colors come from the palette, in its light or
dark mode, so a specification names none; where it must, it writes "@blue" for the palette's blue.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from talewright.look.palette import DARK, LIGHT, SERIES

LIBRARIES = ("vega", "vega-lite", "vega-embed")
LABEL_LIMIT = 240
"""Pixels of a legend's name, at most."""
ZOOM = {
    "type": "interval",
    "zoom": "wheel![event.ctrlKey || event.metaKey]",
    "translate": "[pointerdown[event.pointerType === 'mouse'], window:pointerup] > window:pointermove!",
}
"""A selection that moves and zooms a chart. The wheel alone, and a finger, scroll the page."""
HOVER = {"type": "point", "nearest": True, "on": "pointermove", "clear": "pointerout"}
"""A selection of what is nearest to the pointer."""
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif'


def chart(specification: Mapping[str, Any], label: str, height: int = 260) -> str:
    """A figure that `chart_script` fills, as wide as its container.

    specification: in Vega-Lite, without a schema, width, height and configuration. label: what the chart shows, in a
    sentence, for those who cannot see it.
    """
    fit = {"type": "fit", "contains": "padding", "resize": True}
    whole = {"width": "container", "height": height, "autosize": fit, **specification}
    text = json.dumps(whole, separators=(",", ":"), allow_nan=False)
    return (
        f'<figure class="chart" data-chart="{html.escape(text)}" aria-label="{html.escape(label)}"><div></div></figure>'
    )


def legend_columns(names: Sequence[str]) -> dict[str, str]:
    """Columns of a legend with these names: as many as the chart's width holds, which on a phone is one or two."""
    column = min(7 * max(map(len, names)), LABEL_LIMIT) + 40  # a letter takes 7 pixels at most, the symbol 40
    return {"expr": f"max(1, floor(width / {column}))"}


def chart_script() -> str:
    """The libraries, and what draws every figure of `chart` on the page: for one script element at its end."""
    files = resources.files("talewright.look")
    libraries = [(files / "vendor" / f"{name}.min.js").read_text(encoding="utf-8") for name in LIBRARIES]
    themes = json.dumps({"light": theme(LIGHT), "dark": theme(DARK)})
    palettes = json.dumps({"light": LIGHT, "dark": DARK})
    drawing = (files / "charts.js").read_text(encoding="utf-8")
    parts = [*libraries, f"const chartThemes = {themes}, chartPalettes = {palettes};", drawing]
    return "\n".join(parts).replace("</script", "<\\/script")


def theme(colors: Mapping[str, str]) -> dict[str, Any]:
    """Vega-Lite's configuration in these colors; no text smaller than 12 pixels."""
    axis = {
        "labelFontSize": 12,
        "titleFontSize": 12,
        "labelColor": colors["faint"],
        "titleColor": colors["ink"],
        "titleFontWeight": "normal",
        "gridColor": colors["line"],
        "domainColor": colors["faint"],
        "tickColor": colors["faint"],
    }
    legend = {"labelFontSize": 12, "titleFontSize": 12, "labelColor": colors["ink"], "titleColor": colors["ink"]}
    return {
        "background": "transparent",
        "font": FONT,
        "axis": axis,
        "axisXQuantitative": {"tickCount": {"expr": "ceil(width / 90)"}},
        "legend": legend | {"orient": "top", "labelLimit": LABEL_LIMIT, "symbolStrokeWidth": 2},
        "title": {"fontSize": 14, "color": colors["ink"], "anchor": "start"},
        "text": {"fontSize": 12, "color": colors["ink"]},
        "header": {"labelFontSize": 12, "titleFontSize": 12, "labelColor": colors["ink"], "titleColor": colors["ink"]},
        "view": {"stroke": None},
        "range": {
            "category": [colors[name] for name in SERIES],
            "heatmap": [colors["card"], colors["blue"]],
            "ramp": [colors["card"], colors["blue"]],
        },
        "line": {"strokeWidth": 2},
        "bar": {"color": colors["blue"]},
    }
