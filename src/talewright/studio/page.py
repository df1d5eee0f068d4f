"""The page: its header, its tabs, its theme."""

from __future__ import annotations

import inspect
from typing import Any

import gradio as gr
from gradio.themes import Base, Font

from talewright.inspect.report.page import view_style
from talewright.look import page_style
from talewright.studio.compare_tab import CompareTab
from talewright.studio.generate_tab import GenerateTab
from talewright.studio.inspection_tab import InspectionTab
from talewright.studio.session import StudioSession
from talewright.studio.shared import QUIET, Studio, html, read_asset, user_of
from talewright.studio.steer_tab import SteerTab
from talewright.studio.watch_tab import WatchTab

INSPECT, STEER, WATCH = 2, 3, 4
SANS = [Font(name) for name in ("system-ui", "Segoe UI", "Roboto", "Ubuntu", "DejaVu Sans")]
MONO = [Font(name) for name in ("ui-monospace", "Menlo", "Consolas", "DejaVu Sans Mono")]
COLORS = {
    "page": "body_background_fill background_fill_secondary checkbox_background_color button_primary_text_color",
    "card": "background_fill_primary block_background_fill button_secondary_background_fill input_background_fill "
    "input_background_fill_focus checkbox_label_background_fill checkbox_background_color_focus "
    "checkbox_background_color_hover button_secondary_background_fill_hover checkbox_label_background_fill_hover "
    "checkbox_label_background_fill_selected",
    "ink": "body_text_color block_title_text_color block_label_text_color button_secondary_text_color "
    "checkbox_label_text_color checkbox_label_text_color_selected",
    "faint": "body_text_color_subdued block_info_text_color input_placeholder_color checkbox_border_color "
    "checkbox_border_color_hover",
    "line": "border_color_primary block_border_color input_border_color button_secondary_border_color",
    "accent": "color_accent button_primary_background_fill button_primary_background_fill_hover slider_color "
    "checkbox_background_color_selected border_color_accent input_border_color_focus link_text_color "
    "button_secondary_border_color_hover button_secondary_text_color_hover checkbox_border_color_selected "
    "checkbox_border_color_focus",
}
"""By color of the palette (look.palette), the variables of Gradio's theme that take it."""
SHADOWS = (
    "input_shadow input_shadow_focus block_shadow button_primary_shadow button_primary_shadow_hover "
    "button_secondary_shadow button_secondary_shadow_hover checkbox_label_shadow checkbox_shadow"
)


def build(studio: Studio) -> gr.Blocks:
    """The page over these runs. Its theme, style and script are given at launch (`launch_options`)."""

    def on_select(event: gr.SelectData) -> gr.Timer:
        """The log is checked only while its tab is open."""
        return gr.Timer(active=event.index == WATCH)

    with gr.Blocks(title="Talewright studio", analytics_enabled=False, fill_width=False) as page:
        html(_header(studio))
        session = gr.State(StudioSession())
        with gr.Tabs(overflow_behavior="wrap") as tabs:
            with gr.Tab("Generate", id=0):
                generate = GenerateTab(studio, session)
            with gr.Tab("Compare", id=1):
                compare = CompareTab(studio, session)
            with gr.Tab("Inside", id=INSPECT) as inside:
                inspection = InspectionTab(studio, session)
            with gr.Tab("Steer", id=STEER) as steered:
                steer = SteerTab(studio, session)
            with gr.Tab("Watch", id=WATCH) as watched:
                watch = WatchTab(studio)

        tabs.select(on_select, None, watch.timer, **QUIET)
        for tab, drawn in ((inside, inspection), (steered, steer), (watched, watch)):  # when it is opened
            tab.select(drawn.refresh, drawn.inputs, drawn.outputs, **QUIET)

        def on_unload(request: gr.Request) -> None:
            studio.scheduler.leave(user_of(request))

        page.unload(on_unload)
        models = [generate.model, compare.models]  # a run in training has other checkpoints by now
        page.load(lambda: [gr.Dropdown(choices=studio.registry.options()) for _ in models], None, models, **QUIET)
    return page


def launch_options() -> dict[str, Any]:
    """Theme, style and script: the system's own fonts, and nothing from other servers."""
    scripts = [read_asset("focus.js"), read_asset("notice.js")]
    return {
        "theme": _theme(),
        "css": f"{page_style()}\n{read_asset('style.css')}",
        "head": f"<style>.views {{ {view_style()} }}\n{read_asset('phone.css')}</style>",  # nested
        "js": "() => { " + " ".join(f"({script})();" for script in scripts) + " }",
    }


def _theme() -> Base:
    """Gradio's components in the colors of the palette, light and dark, without shadows and rings."""
    theme = Base(font=[*SANS, "sans-serif"], font_mono=[*MONO, "monospace"])
    known = inspect.signature(theme.set).parameters
    chosen = {f"var(--{color})": names for color, names in COLORS.items()} | {"none": SHADOWS}
    values = {
        name: value
        for value, names in chosen.items()
        for each in names.split()
        for name in (each, f"{each}_dark")
        if name in known
    }
    return theme.set(**values)


def _header(studio: Studio) -> str:
    names = studio.registry.names
    models = "" if len(names) == 1 else f" {len(names)} runs are offered here."
    return (
        '<header class="head"><h1>Story studio</h1>'
        f"<p>Stories by small models trained with Talewright.{models}</p>"
        '<div class="notice" id="notice" role="alert" hidden><p></p><button type="button">Close</button></div></header>'
    )
