"""The page: its head, its four tabs, its looks."""

from __future__ import annotations

import inspect
from html import escape
from typing import Any

import gradio as gr
from gradio.themes import Base, Font

from talewright.studio.compare import CompareTab
from talewright.studio.inside import InsideTab
from talewright.studio.parts import QUIET, Studio, html, text_of, visitor
from talewright.studio.tell import TellTab
from talewright.studio.visit import Visit
from talewright.studio.watch import WatchTab

INSIDE, WATCH = 2, 3
SANS = [Font(name) for name in ("system-ui", "Segoe UI", "Roboto", "Ubuntu", "DejaVu Sans")]
MONO = [Font(name) for name in ("ui-monospace", "Menlo", "Consolas", "DejaVu Sans Mono")]
COLOURS = {
    "page": "body_background_fill background_fill_secondary checkbox_background_color",
    "card": "background_fill_primary block_background_fill button_secondary_background_fill input_background_fill "
    "input_background_fill_focus checkbox_label_background_fill checkbox_background_color_focus "
    "checkbox_background_color_hover",
    "ink": "body_text_color block_title_text_color block_label_text_color button_secondary_text_color "
    "checkbox_label_text_color",
    "faint": "body_text_color_subdued block_info_text_color input_placeholder_color checkbox_border_color",
    "line": "border_color_primary block_border_color input_border_color button_secondary_border_color",
    "accent": "color_accent button_primary_background_fill button_primary_background_fill_hover slider_color "
    "checkbox_background_color_selected border_color_accent input_border_color_focus link_text_color "
    "button_secondary_border_color_hover checkbox_border_color_selected",
}
"""By the names of `style.css`, what of Gradio's theme takes each colour."""


def build(studio: Studio) -> gr.Blocks:
    """The page over these runs. What belongs to its launch is in `looks`."""
    with gr.Blocks(title="Talewright studio", analytics_enabled=False, fill_width=False) as page:
        html(_head(studio))
        visit = gr.State(Visit())
        with gr.Tabs() as tabs:
            with gr.Tab("Tell", id=0):
                tell = TellTab(studio, visit)
            with gr.Tab("Compare", id=1):
                compare = CompareTab(studio, visit)
            with gr.Tab("Inside", id=INSIDE):
                inside = InsideTab(studio, visit)
            with gr.Tab("Watch", id=WATCH):
                watch = WatchTab(studio)

        async def opened(visit: Visit, head: str | None, run: str, event: gr.SelectData) -> list[Any]:
            """A tab is drawn when it is opened, and the log is looked at only while its tab is."""
            drawn = await inside.refresh(visit, head) if event.index == INSIDE else [gr.skip()] * len(inside.outputs)
            seen = await watch.refresh(run) if event.index == WATCH else [gr.skip()] * len(watch.outputs)
            return [gr.Timer(active=event.index == WATCH), *drawn, *seen]

        def left(request: gr.Request) -> None:
            studio.desk.leave(visitor(request))

        inputs, outputs = [*inside.inputs, watch.run], [watch.timer, *inside.outputs, *watch.outputs]
        tabs.select(opened, inputs, outputs, **QUIET)
        page.unload(left)
        tellers = [tell.who, *compare.who]  # a run in training has other checkpoints by now
        page.load(lambda: [gr.Dropdown(choices=studio.library.choices()) for _ in tellers], None, tellers, **QUIET)
    return page


def looks() -> dict[str, Any]:
    """What `launch` takes of theme, style and script: the system's own fonts, and nothing from elsewhere."""
    return {"theme": _theme(), "css": text_of("style.css"), "js": text_of("place.js")}


def _theme() -> Base:
    """Gradio's own parts in the colours of `style.css`, by day and by night."""
    theme = Base(font=[*SANS, "sans-serif"], font_mono=[*MONO, "monospace"])
    known = inspect.signature(theme.set).parameters
    values = {
        name: f"var(--{colour})"
        for colour, names in COLOURS.items()
        for each in names.split()
        for name in (each, f"{each}_dark")
        if name in known
    }
    return theme.set(**values, button_primary_text_color="#ffffff", button_primary_text_color_dark="#10211c")


def _head(studio: Studio) -> str:
    names = studio.library.names
    who = studio.library.size(names[0]) if len(names) == 1 else f"{len(names)} runs tell here"
    return (
        '<header class="head"><h1>Story studio</h1>'
        f"<p>Stories by small models trained with Talewright. {escape(who)}.</p></header>"
    )
