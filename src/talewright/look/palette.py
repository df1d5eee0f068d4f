"""The colors, in light and dark, and the style sheet that pages begin with."""

from __future__ import annotations

from importlib import resources

LIGHT = {
    "page": "#fbfaf7",
    "card": "#ffffff",
    "ink": "#1f1d1a",
    "faint": "#5f5b54",
    "line": "#dedad2",
    "accent": "#2b6455",
    "blue": "#0072b2",
    "orange": "#bd4f00",
    "green": "#00805d",
    "purple": "#96468a",
    "gold": "#8f6b00",
    "sky": "#2f8fc8",
    "grey": "#8e8e95",
    "error": "#a3282b",
}
DARK = {
    "page": "#171614",
    "card": "#201f1c",
    "ink": "#ece8e0",
    "faint": "#b0aaa0",
    "line": "#3b3833",
    "accent": "#8ecbb6",
    "blue": "#56b4e9",
    "orange": "#f0924a",
    "green": "#3fc79a",
    "purple": "#d58cc4",
    "gold": "#d9b23c",
    "sky": "#9bd2f5",
    "grey": "#85858d",
    "error": "#ff9b96",
}
"""The same names in both. The hues are distinguishable for color-blind readers (after Okabe & Ito 2008), and text has a
contrast of at least 4.5 to the page."""
SERIES = ("blue", "orange", "green", "purple", "gold", "sky", "grey", "ink")
"""The colors of the first line of a chart, the second, and so on. Lines also differ in their dashes."""


def page_style() -> str:
    """The style sheet of every page: the colors as CSS variables, and how strongly words are shaded; then base.css."""
    light, dark = (
        " ".join(f"--{name}: {value};" for name, value in {**colors, "tint": tint}.items())
        for colors, tint in ((LIGHT, "55%"), (DARK, "40%"))
    )
    base = (resources.files("talewright.look") / "base.css").read_text(encoding="utf-8")
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n.dark {{ {dark} }}\n{base}"
    )
