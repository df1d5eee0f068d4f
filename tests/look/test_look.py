"""The colors can be read, and charts need nothing from elsewhere."""

from __future__ import annotations

import html
import json
import re

import pytest

from talewright.inspect.report.page import view_style
from talewright.look import (
    DARK,
    LIGHT,
    LOSS_TITLES,
    SERIES,
    Line,
    chart,
    chart_script,
    legend_columns,
    line_chart,
    page_style,
)
from tests.export.browser import chromium


def luminance(color: str) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("behind", ["page", "card"])
def test_text_and_lines_stand_out(colors: dict[str, str], behind: str) -> None:
    for name in ("ink", "faint", "accent", "blue", "orange", "green", "purple", "gold", "error"):
        assert contrast(colors[name], colors[behind]) >= 4.5, name
    for name in SERIES:
        assert contrast(colors[name], colors[behind]) >= 3, name


def test_a_chart_keeps_its_data_and_its_label() -> None:
    figure = chart({"mark": "bar", "data": {"values": [{"word": '"a" & <b>'}]}}, 'the "first" chart', height=99)
    found = re.search(r'data-chart="([^"]*)" aria-label="([^"]*)"', figure)
    assert found
    specification = json.loads(html.unescape(found[1]))
    assert specification["data"]["values"] == [{"word": '"a" & <b>'}]
    assert specification["height"] == 99
    assert html.unescape(found[2]) == 'the "first" chart'


def test_a_legend_has_the_columns_that_fit() -> None:
    def columns(names: list[str], width: int) -> int:
        expression = legend_columns(names)["expr"].replace("width", str(width))
        return int(eval(expression, {"max": max, "floor": int}))

    names = ["each training batch", "training, smoothed", "validation"]
    assert [columns(names, width) for width in (280, 600, 1100)] == [1, 3, 6]
    assert columns(["x" * 90], 270) == 1
    assert columns(["x" * 90, "y"], 600) == 2


def test_a_value_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        chart({"data": {"values": [{"x": float("nan")}]}}, "")


def test_a_chart_of_lines_has_no_backslash_which_a_template_of_the_studio_would_lose() -> None:
    lines = [Line(name=name, color="blue", points=[{"step": 1, "loss": 2.0}]) for name in ("one", "other")]
    assert "\\" not in chart(line_chart(lines, "loss", LOSS_TITLES), "losses")


def test_the_script_ends_no_script_element_and_loads_nothing() -> None:
    script = chart_script()
    assert "</script" not in script
    assert not re.search(r"import\s*\(\s*['\"]https?:", script)
    assert "vegaEmbed" in script


def test_the_style_has_both_modes() -> None:
    style = page_style()
    assert LIGHT["ink"] in style
    assert DARK["ink"] in style
    assert "prefers-color-scheme: dark" in style


def test_a_legend_of_several_rows_is_not_cut_off_also_after_the_window_changes() -> None:
    lines = [Line(name=name, color="blue") for name in ("each training batch", "training, smoothed", "validation")]
    figure = chart(line_chart(lines, "loss", LOSS_TITLES), "losses")
    top = "legend => legend.getBoundingClientRect().top - legend.ownerSVGElement.getBoundingClientRect().top"
    rows = "legend => legend.getBoundingClientRect().height"
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": 360, "height": 600})
        tab.set_content(f"<style>{page_style()}</style>{figure}<script>{chart_script()}</script>")
        legend, height = tab.locator("svg .role-legend"), 0.0
        for width in (360, 1280, 360):
            tab.set_viewport_size({"width": width, "height": 600})
            legend.wait_for(state="attached")
            tab.wait_for_timeout(500)
            assert legend.evaluate(top) >= 0
            assert legend.evaluate(rows) != height
            height = legend.evaluate(rows)


def test_the_reports_views_take_every_color_from_the_page_they_are_on() -> None:
    """In the studio, they are within an element, where a rule for the root does nothing."""
    assert ":root" not in view_style()
    used = set(re.findall(r"var\((--[\w-]+)\)", view_style()))
    assert used - {"--columns"} <= set(re.findall(r"(--[\w-]+):", page_style() + view_style()))  # the HTML sets these
