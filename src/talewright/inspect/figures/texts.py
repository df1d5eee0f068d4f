"""Texts in figures: shown as they are, never as formulas, in fonts that have their characters or else spelled."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

logger = logging.getLogger(__name__)

POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
UNUSABLE = ("last resort", ".lastresort", "adobe blank", "unicode bmp fallback")
"""Fonts that show boxes, or nothing, for all characters."""


def legend_label(name: str) -> str:
    """The name as a label that a legend shows: matplotlib leaves out those that begin with an underscore."""
    return f" {name}" if name.startswith("_") else name


def write_powers_plainly(figure: Any) -> None:
    """Label logarithmic axes with 10² in place of a formula, because our style reads no formulas."""
    from matplotlib.ticker import LogFormatterSciNotation

    class Plain(LogFormatterSciNotation):
        def __call__(self, x: float, pos: int | None = None) -> str:
            text = re.sub(r"\^\{(.*?)\}", lambda power: power[1].translate(POWERS), super().__call__(x, pos))
            return text.removeprefix(r"$\mathdefault{").removesuffix("}$").replace(r"\times", "×")

    for axis in _axes(figure):
        if isinstance(axis.get_major_formatter(), LogFormatterSciNotation):
            axis.set_major_formatter(Plain())
        if isinstance(axis.get_minor_formatter(), LogFormatterSciNotation):
            axis.set_minor_formatter(Plain())


def find_fonts(figure: Any) -> None:
    """Before a figure is drawn as pixels: find a font for each character, and spell those that no font has.

    Call it within `plotting`: otherwise the fonts would stay set for other figures.
    """
    import matplotlib
    from matplotlib.text import Text
    from matplotlib.ticker import FuncFormatter

    named = [axis for axis in _axes(figure) if isinstance(axis.get_major_formatter(), FuncFormatter)]
    labels = [label for axis in named for label in axis.get_ticklabels()]  # which this call writes
    texts: list[Text] = [*figure.findobj(Text), *labels]
    shown = set().union(*(text.get_text() for text in texts))
    strange = shown - _characters(_default_font()) - {"\n"}
    if not strange:
        return
    fonts = {char: _font_of(char) for char in sorted(strange)}
    families = [*matplotlib.rcParams["font.family"], *dict.fromkeys(font for font in fonts.values() if font)]
    matplotlib.rcParams["font.family"] = families
    spelled = {ord(char): f"⟨{ord(char):04X}⟩" for char, font in fonts.items() if font is None}
    for text in texts:
        text.set_fontfamily(families)
        text.set_text(text.get_text().translate(spelled))
    for axis in named if spelled else ():
        formatter = axis.get_major_formatter()
        axis.set_major_formatter(lambda value, at, of=formatter: of(value, at).translate(spelled))
    if spelled:
        _warn_once()


@contextmanager
def quiet_glyphs() -> Iterator[None]:
    """Within: no warnings of missing characters, for a figure whose texts the browser draws in its own fonts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


@cache
def _warn_once() -> None:
    logger.warning(
        "No font of this machine has some of the characters: pictures spell them by their code points, as ⟨4ECE⟩. "
        "The page shows them"
    )


def _axes(figure: Any) -> list[Any]:
    return [axis for each in figure.axes for axis in (each.xaxis, each.yaxis)]


def _default_font() -> str:
    from matplotlib.font_manager import FontProperties, findfont

    return findfont(FontProperties())


@cache
def _font_of(char: str) -> str | None:
    """The family of a font that has the character; None if there is none."""
    from matplotlib.font_manager import fontManager

    entries = sorted(fontManager.ttflist, key=lambda font: (font.style != "normal", font.weight not in (400, "normal")))
    usable = (font for font in entries if not font.name.lower().startswith(UNUSABLE))
    return next((font.name for font in usable if char in _characters(font.fname)), None)


@cache
def _characters(path: str) -> frozenset[str]:
    """The characters that a font has; none if its glyphs cannot be scaled, as emoji in color, or it is gone."""
    from matplotlib.font_manager import get_font

    try:
        font = get_font(path)
        return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()
    except (OSError, RuntimeError, ValueError):
        return frozenset()
