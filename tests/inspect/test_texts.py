"""Texts in figures: any name and token is drawn as it is, and in characters that a font has."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from talewright.inspect.figures import texts
from talewright.inspect.figures.attention import roles_comparison_panel
from talewright.inspect.figures.style import Panel, annotate, plotting, save_png, to_svg
from talewright.inspect.figures.texts import find_fonts, legend_label
from talewright.inspect.heads import Head

LETTERS = st.characters(codec="utf-8", categories=["L", "N", "S"])
TEXTS = st.text(st.one_of(st.sampled_from("$_{}\\^%<>&\"'# ab"), LETTERS), min_size=1, max_size=9)


def drawing(text: str) -> Panel:
    """The text in every place that a figure has for one."""

    def draw(axes: Any) -> None:
        axes.plot([1, 2000], [1, 1000], label=legend_label(text))
        axes.set(yscale="log", xlabel=text)
        axes.set_xticks([1, 2000], [text, "a"])
        annotate(axes, text, (1, 1), 3)
        axes.legend()

    return Panel(title=text, draw=draw, how="h")


@settings(max_examples=12)
@given(text=TEXTS)
@example(text="$_{5$")
@example(text=r"\$x$ _a^b {")
@example(text="_run")
@example(text="从前🐱שלום")
def test_any_text_is_drawn_without_a_warning(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with tempfile.TemporaryDirectory() as folder:
            save_png([drawing(text)], Path(folder) / "a.png", title=text)
        svg = to_svg(drawing(text))
    shown = [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]
    assert [each for each in shown if each is not None].count(text) >= (2 if text.strip() else 0)


def test_powers_are_written_without_a_formula() -> None:
    svg = to_svg(drawing("a"))
    assert "10²" in svg
    assert "$" not in svg
    assert "mathdefault" not in svg


def test_a_character_that_no_font_has_is_spelled_with_one_line_for_all(caplog: pytest.LogCaptureFixture) -> None:
    texts._warn_once.cache_clear()
    shown: list[str] = []
    with caplog.at_level(logging.WARNING, "talewright"), plotting() as plt:
        for text in ("\U000e0fff!", "a\U000e0ffe"):  # which no font has
            figure, axes = plt.subplots()
            drawing(text).draw(axes)
            find_fonts(figure)
            figure.canvas.draw()
            shown += [axes.get_xticklabels()[0].get_text(), axes.get_xlabel()]
            plt.close(figure)
    assert shown == ["⟨E0FFF⟩!"] * 2 + ["a⟨E0FFE⟩"] * 2
    assert len(caplog.records) == 1


def test_a_font_of_the_machine_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    monkeypatch.setattr(texts, "_characters", lambda path: frozenset("ab") if "Mono" not in path else frozenset("从"))
    texts._font_of.cache_clear()
    with plotting() as plt:
        figure, axes = plt.subplots()
        axes.set_title("从a")
        find_fonts(figure)
        assert axes.title.get_fontfamily()[-1] == "DejaVu Sans Mono"
        assert axes.get_title(loc="left") in ("", "从a")
        plt.close(figure)
    texts._font_of.cache_clear()
    assert "DejaVu Sans Mono" not in matplotlib.rcParams["font.family"]


def test_a_name_that_begins_with_an_underscore_stands_in_the_legend() -> None:
    head = Head(layer=0, head=0, distance=1.0, roles={"previous token": 0.5, "first token": 0.2})
    svg = to_svg(roles_comparison_panel({"_run": [head], "other": [head]}))
    assert "_run" in svg
    assert "other" in svg
