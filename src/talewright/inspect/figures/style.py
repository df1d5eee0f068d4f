"""How pictures look, and how a panel becomes a PNG file or an SVG that follows the page's light and dark colours."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from talewright.errors import UserError

INK, FAINT, LINE = "#1c1c1e", "#6b6b70", "#d9d9de"
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#a2578c", "#9a9aa0"
SKY, GOLD = "#3f9fd6", "#a67c00"
"""Told apart by the colour-blind (after Okabe & Ito 2008); lines differ in their dashes as well."""
VARIABLES = {
    INK: "ink",
    FAINT: "faint",
    LINE: "line",
    BLUE: "blue",
    ORANGE: "orange",
    GREEN: "green",
    PURPLE: "purple",
    GREY: "grey",
    SKY: "sky",
    GOLD: "gold",
}
"""The page's names of these colours: what they are depends on its light or dark scheme."""
SERIES = [
    (BLUE, "-"),
    (ORANGE, "--"),
    (GREEN, "-."),
    (PURPLE, ":"),
    (GOLD, (0, (6, 1))),
    (SKY, (0, (3, 1, 1, 1))),
    (GREY, "-"),
    (INK, "--"),
]
"""Colour and dashes of one line after another."""
RC: dict[str, Any] = {
    "figure.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelsize": 9,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "talewright",
    "path.simplify_threshold": 0.5,
}
WIDTH, HEIGHT = 4.9, 3.0
"""Inches of a panel: about a phone's width, so that its words can be read there."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture: what it found, how to draw it, how it was computed."""

    title: str
    """The finding, in a sentence."""
    draw: Callable[[Any], None]
    """Draws into matplotlib's axes, labels and units with it."""
    how: str
    """How it was computed, in a sentence or two."""
    height: float = HEIGHT


def save_png(panels: Sequence[Panel], path: Path, columns: int = 2, title: str = "") -> Path:
    """Draw panels side by side into a PNG file."""
    rows = -(-len(panels) // columns)
    with plotting() as plt:
        height = sum(max(p.height for p in panels[r * columns : (r + 1) * columns]) + 0.3 for r in range(rows))
        figure, axes = plt.subplots(rows, columns, figsize=(5.5 * columns, height), layout="constrained", squeeze=False)
        for panel, each in zip(panels, axes.flat, strict=False):
            panel.draw(each)
            each.set_title(wrapped(panel.title, 66), fontsize=9.5)
        for empty in list(axes.flat)[len(panels) :]:
            empty.remove()
        figure.suptitle(title)
        return save_figure(figure, path)


def save_figure(figure: Any, path: Path, dpi: int = 120) -> Path:
    """Write a figure as PNG. Raises UserError where the folder cannot be written."""
    import matplotlib.pyplot as plt

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=dpi, pil_kwargs={"compress_level": 4})
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        plt.close(figure)
    return path


def to_svg(panel: Panel) -> str:
    """The panel as an SVG element without its title, its colours left to the page."""
    with plotting() as plt:
        figure, axes = plt.subplots(figsize=(WIDTH, panel.height), layout="constrained")
        panel.draw(axes)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    return _for_the_page(written.getvalue())


@contextmanager
def plotting() -> Iterator[Any]:
    """matplotlib's pyplot, drawing to files, in our style."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context(cast("Any", RC)):
        yield plt


def wrapped(text: str, width: int) -> str:
    """The text in lines of at most `width` letters; a `$` is kept from being read as mathematics."""
    import textwrap

    return "\n".join(textwrap.wrap(text, width)).replace("$", r"\$")


def _for_the_page(svg: str) -> str:
    """The bare element: no head, no ids but those referred to, colours and fonts by the page's names."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="[a-z]\w*_\d+"', "", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r' (?:d|x|y|transform)="[^"]*"', lambda match: _rounded(match[0]), svg)
    for colour, name in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{name})")
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    return svg.replace("<svg ", '<svg role="img" aria-hidden="true" ', 1)


def _rounded(attribute: str) -> str:
    """Coordinates to a hundredth of a point, which is finer than a screen."""
    return re.sub(r"(-?\d+\.\d\d)\d+", r"\1", attribute)
