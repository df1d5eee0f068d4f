"""The live page as one file that loads nothing from elsewhere, and asks only the training for its progress."""

from __future__ import annotations

from importlib import resources
from string import Template

from talewright.live.progress import tiles_html
from talewright.look import chart_script, loss_script, loss_view, page_style


def page() -> str:
    """The page, without any progress yet."""
    files = resources.files("talewright.live") / "page"
    parts = {name: (files / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js")}
    return Template(parts["page.html"]).substitute(
        style=page_style() + parts["page.css"],
        tiles=tiles_html({}),
        losses=loss_view(),
        charts=chart_script(),
        script=loss_script() + parts["page.js"],
    )
