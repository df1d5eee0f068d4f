"""The style of the figures, and how a panel becomes a PNG file or an SVG that follows the page's light or dark mode."""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talewright import look
from talewright.errors import UserError
from talewright.files import atomic_file, error_reason
from talewright.inspect.figures.texts import find_fonts, quiet_glyphs, write_powers_plainly

COLOR_NAMES = ("ink", "faint", "line", "blue", "orange", "green", "purple", "grey", "sky", "gold", "card")
INK, FAINT, LINE, BLUE, ORANGE, GREEN, PURPLE, GREY, SKY, GOLD, CARD = (look.LIGHT[name] for name in COLOR_NAMES)
"""Pictures have the colors of the light pages."""
VARIABLES = {look.LIGHT[name]: name for name in COLOR_NAMES}
"""The page's CSS variables for these colors; their values depend on its theme."""
DASHES = ("-", "--", "-.", ":", (0, (6, 1)), (0, (3, 1, 1, 1)), "-", "--")
SERIES = list(zip((look.LIGHT[name] for name in look.SERIES), DASHES, strict=True))
"""Color and dashes of the first line, the second, and so on."""
STYLE_SHEET = Path(__file__).with_name("talewright.mplstyle")
COLORS: dict[Any, Any] = {
    "figure.facecolor": CARD,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "grid.color": LINE,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
}
"""matplotlib's settings of these colors; STYLE_SHEET has the others."""
WIDTH, HEIGHT = 4.4, 3.0
"""Size of a panel in inches, 317 by 216 points: at a phone's width a point is a pixel, and no text is below 12."""
CHARACTER_WIDTH, LINE_HEIGHT = 7.5, 14.0
"""Points that a character of a label takes, about."""
CHARACTERS_PER_INCH = 10.5
"""Of a title, about."""
PNG_WIDTH = 5.5
"""Inches for each panel of a row in a PNG file."""


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
    wide: bool = False
    """Whether it has a row of a PNG file for itself."""
    chart: dict[str, Any] | None = None
    """The same data as a Vega-Lite specification for `look.chart`, where the panel has one."""


def save_png(panels: Sequence[Panel], path: Path, columns: int = 2, title: str = "") -> Path:
    """Draw panels side by side into a PNG file. A row that is not full is stretched."""
    rows = _rows(panels, columns)
    inches = [max(panel.height for panel in row) + 0.3 for row in rows]
    cells = math.lcm(*(len(row) for row in rows))
    with plotting() as plt:
        size = (PNG_WIDTH * columns, sum(inches))
        figure = plt.figure(figsize=size, layout="constrained")
        grid = figure.add_gridspec(len(rows), cells, height_ratios=inches)
        for number, row in enumerate(rows):
            span = cells // len(row)
            titles = _equally_long([_wrapped(panel.title, size[0] / len(row)) for panel in row])
            for place, (panel, text) in enumerate(zip(row, titles, strict=True)):
                axes = figure.add_subplot(grid[number, place * span : (place + 1) * span])
                panel.draw(axes)
                axes.set_title(text, pad=6 + _legend_height(axes))
        figure.suptitle(title)
        return save_figure(figure, path)


def _legend_height(axes: Any) -> float:
    """Points that a legend takes above the axes."""
    legend = axes.get_legend()
    with quiet_glyphs():  # fonts are found later
        pixels = legend.get_window_extent().y1 - axes.get_window_extent().y1 if legend else 0
    return max(0.0, 72 * pixels / axes.figure.dpi)


def _rows(panels: Sequence[Panel], columns: int) -> list[list[Panel]]:
    """The panels in rows of so many; a wide one has a row for itself."""
    rows: list[list[Panel]] = []
    for panel in panels:
        if not rows or panel.wide or rows[-1][0].wide or len(rows[-1]) == columns:
            rows.append([])
        rows[-1].append(panel)
    return rows


def _wrapped(title: str, width: float) -> list[str]:
    """The title's lines above a panel that is so many inches wide."""
    return textwrap.wrap(title, int(CHARACTERS_PER_INCH * width))


def _equally_long(titles: Sequence[list[str]]) -> list[str]:
    """The titles of a row, with as many lines as the longest, so that all panels begin at one height."""
    most = max(map(len, titles))
    return ["\n".join([*lines, *[""] * (most - len(lines))]) for lines in titles]


def save_figure(figure: Any, path: Path, dpi: int = 120) -> Path:
    """Write a figure as PNG, within `plotting`. Raises UserError if the file cannot be written."""
    import matplotlib.pyplot as plt

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_powers_plainly(figure)
        find_fonts(figure)
        if layout := figure.get_layout_engine():  # once: with an engine, savefig draws twice
            layout.execute(figure)
            figure.set_layout_engine(None)
        with atomic_file(path) as part:
            figure.savefig(part, dpi=dpi, format="png", pil_kwargs={"compress_level": 4})
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

    with plt.rc_context(COLORS, fname=str(STYLE_SHEET)):
        yield plt


def annotate(axes: Any, text: str, point: tuple[float, float], rise: float, **options: Any) -> None:
    """Write a small label `rise` points above a data point, centered unless `ha` says otherwise."""
    options = {"ha": "center", **options}
    axes.annotate(text, point, (0, rise), textcoords="offset points", **options)


def label_apart(axes: Any, texts: Sequence[str], points: Sequence[tuple[float, float]], rise: float = 3.0) -> None:
    """Write each text above its point, but none over another: the earlier ones come first."""
    per_inch = axes.figure.dpi / 72
    taken: list[tuple[float, float, float]] = []
    for text, point in zip(texts, points, strict=True):
        x, y = axes.transData.transform(point) / per_inch  # in points
        wide = CHARACTER_WIDTH * max(1, len(text))
        if all(abs(x - other) > (wide + width) / 2 or abs(y - above) > LINE_HEIGHT for other, above, width in taken):
            taken.append((x, y, wide))
            annotate(axes, text, point, rise)


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
