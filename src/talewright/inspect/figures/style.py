"""The style of the figures, and how a panel becomes a PNG file or an SVG that follows the page's light or dark mode."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talewright.errors import UserError
from talewright.files import error_reason
from talewright.inspect.figures.texts import find_fonts, quiet_glyphs, write_powers_plainly

INK, FAINT, LINE = "#1c1c1e", "#6b6b70", "#d9d9de"
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#a2578c", "#9a9aa0"
SKY, GOLD = "#3f9fd6", "#a67c00"
"""Distinguishable for color-blind readers (after Okabe & Ito 2008); lines also differ in their dashes."""
COLOR_NAMES = ("ink", "faint", "line", "blue", "orange", "green", "purple", "grey", "sky", "gold")
VARIABLES = dict(zip((INK, FAINT, LINE, BLUE, ORANGE, GREEN, PURPLE, GREY, SKY, GOLD), COLOR_NAMES, strict=True))
"""The page's CSS variables for these colors; their values depend on its theme."""
DASHES = ("-", "--", "-.", ":", (0, (6, 1)), (0, (3, 1, 1, 1)), "-", "--")
SERIES = list(zip((BLUE, ORANGE, GREEN, PURPLE, GOLD, SKY, GREY, INK), DASHES, strict=True))
"""Color and dashes of the first line, the second, and so on."""
STYLE_SHEET = Path(__file__).with_name("talewright.mplstyle")
WIDTH, HEIGHT = 4.9, 3.0
"""Size of a panel in inches: about a phone's width, so that its text stays readable there."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One figure: its finding, how to draw it, how it was computed."""

    title: str
    """The finding, in a sentence."""
    draw: Callable[[Any], None]
    """Draws into matplotlib axes, with labels and units."""
    how: str
    """How it was computed, in a sentence or two."""
    height: float = HEIGHT
    chart: dict[str, Any] | None = None
    """The same data as a Vega-Lite specification for `look.chart`, where the panel has one."""


def save_png(panels: Sequence[Panel], path: Path, columns: int = 2, title: str = "") -> Path:
    """Draw panels side by side into a PNG file."""
    rows = -(-len(panels) // columns)
    with plotting() as plt:
        height = sum(max(p.height for p in panels[r * columns : (r + 1) * columns]) + 0.3 for r in range(rows))
        figure, grid = plt.subplots(rows, columns, figsize=(5.5 * columns, height), layout="constrained", squeeze=False)
        for panel, axes in zip(panels, grid.flat, strict=False):
            panel.draw(axes)
            axes.set_title("\n".join(textwrap.wrap(panel.title, 66)), fontsize=9.5)
        for axes in list(grid.flat)[len(panels) :]:
            axes.remove()
        figure.suptitle(title)
        return save_figure(figure, path)


def save_figure(figure: Any, path: Path, dpi: int = 120) -> Path:
    """Write a figure as PNG, within `plotting`. Raises UserError if the file cannot be written."""
    import matplotlib.pyplot as plt

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_powers_plainly(figure)
        find_fonts(figure)
        figure.savefig(path, dpi=dpi, pil_kwargs={"compress_level": 4})
    except OSError as error:
        raise UserError(f"cannot write {path}: {error_reason(error)}") from None
    finally:
        plt.close(figure)
    return path


def to_svg(panel: Panel) -> str:
    """The panel as an SVG element without its title; its colors are the page's."""
    with plotting() as plt:
        figure, axes = plt.subplots(figsize=(WIDTH, panel.height), layout="constrained")
        panel.draw(axes)
        write_powers_plainly(figure)
        written = io.StringIO()
        with quiet_glyphs():
            figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    return _for_page(written.getvalue())


@contextmanager
def plotting() -> Iterator[Any]:
    """matplotlib's pyplot, drawing to files, in our style."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context(fname=str(STYLE_SHEET)):
        yield plt


def annotate(axes: Any, text: str, point: tuple[float, float], rise: float, **options: Any) -> None:
    """Write a small label `rise` points above a data point, centered unless `ha` says otherwise."""
    options = {"ha": "center", "fontsize": 7.5, **options}
    axes.annotate(text, point, (0, rise), textcoords="offset points", **options)


def _for_page(svg: str) -> str:
    """The bare element: no header, no ids but those that are referenced, CSS variables for colors, the page's font."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="[a-z]\w*_\d+"', "", svg)
    for size in ("width", "height"):
        svg = re.sub(rf'(<svg[^>]*?) {size}="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r' (?:d|x|y|transform)="[^"]*"', lambda match: _rounded(match[0]), svg)
    for color, name in VARIABLES.items():
        svg = svg.replace(color, f"var(--{name})")
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    return svg.replace("<svg ", '<svg role="img" aria-hidden="true" ', 1)


def _rounded(attribute: str) -> str:
    """Coordinates to a hundredth of a point, which is finer than a screen's pixel."""
    return re.sub(r"(-?\d+\.\d\d)\d+", r"\1", attribute)
