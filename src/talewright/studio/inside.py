"""The tab that looks inside: what the model expected of the story just told, and where its heads looked."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
import numpy as np
import torch

from talewright.inspect.activations import record
from talewright.inspect.figures.attention import PANEL_WORDS, heatmap_panel
from talewright.inspect.figures.predictions import losses_panel
from talewright.inspect.figures.style import to_svg
from talewright.inspect.inspection import shown
from talewright.inspect.predictions import read
from talewright.studio import showing
from talewright.studio.library import Opened
from talewright.studio.parts import QUIET, Studio, html, in_words
from talewright.studio.visit import Told, Visit

EMPTY = "Tell a story first, under Tell; then see here what the model expected of it, and where it looked."
FIRST = "Layer 0, head 0"


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is seen of a story through one head."""

    losses: str
    attention: str
    heads: list[str]
    head: str


class InsideTab:
    """The tab's parts; `refresh` draws them for the visit's current story."""

    def __init__(self, studio: Studio, visit: gr.State) -> None:
        self.studio = studio
        self.status = html(showing.status(""))
        self.losses = html(showing.empty(EMPTY), elem_id="losses")
        self.head = gr.Dropdown(
            [FIRST], value=FIRST, label="Head of attention", filterable=False, visible=False, elem_id="head"
        )
        self.attention = html("", elem_id="attention")
        self.inputs = [visit, self.head]
        self.outputs = [self.status, self.losses, self.head, self.attention]
        self.head.input(self.refresh, self.inputs, self.outputs, **QUIET)

    async def refresh(self, visit: Visit, head: str | None) -> list[Any]:
        told = visit.current
        if told is None:
            return [showing.status(""), showing.empty(EMPTY), gr.Dropdown(visible=False), ""]
        try:
            look = await self.studio.look(self._look, told, head or FIRST)
        except Exception as error:
            words = showing.status(in_words(error), "error")
            return [words, showing.story(told.text, told.continuation), gr.Dropdown(visible=False), ""]
        choices = gr.Dropdown(choices=look.heads, value=look.head, visible=True)
        return [showing.status(f"As {told.about} reads it."), look.losses, choices, look.attention]

    def _look(self, told: Told, head: str) -> Look:
        return look_inside(self.studio.library.open(told.choice), told, head)


def look_inside(opened: Opened, told: Told, head: str) -> Look:
    """The story's newest tokens, as many as the model reads at once."""
    config, tokenizer = opened.model.config, opened.tokenizer
    end = [tokenizer.eos_id] if told.finished else []
    whole = np.array([tokenizer.eos_id, *told.given, *told.told, *end], dtype=np.int64)
    tokens = whole[-(config.context_length + 1) :]
    heads = [f"Layer {layer}, head {number}" for layer in range(config.n_layers) for number in range(config.n_heads)]
    head = head if head in heads else heads[0]
    layer, number = divmod(heads.index(head), config.n_heads)
    words = [shown(tokenizer, int(token)) for token in tokens]
    losses = figure(losses_panel(read(opened.model, tokens).losses, words[1:])) if len(tokens) > 1 else ""
    most = tokens[: min(PANEL_WORDS, config.context_length)]
    inputs = torch.from_numpy(most[None]).to(opened.model.output_weight.device)
    weights = record(opened.model, inputs, [f"blocks.{layer}.attn.pattern"])
    square = next(iter(weights.values()))[0, number].float().cpu().numpy()  # (T, T)
    attention = figure(heatmap_panel(square, words[: len(most)], head)) + _table(square, words)
    return Look(losses=losses, attention=attention, heads=heads, head=head)


def figure(panel: Any) -> str:
    """A panel of the inspection room: its finding as the caption, then the picture, then how it was computed."""
    return (
        f'<figure class="panel"><figcaption>{escape(panel.title)}</figcaption>{to_svg(panel)}'
        f'<p class="hint">{escape(panel.how)}</p></figure>'
    )


def _table(square: np.ndarray, words: list[str]) -> str:
    """The picture in words: for each token, where most of the attention goes."""
    rows = []
    for place in range(1, len(square)):
        most = int(square[place].argmax())
        rows.append(
            f"<tr><td>{place}. {escape(words[place])}</td><td>{most}. {escape(words[most])}</td>"
            f"<td>{showing.percent(float(square[place, most]))}</td></tr>"
        )
    return (
        "<details><summary>The same in words</summary><table><thead><tr><th scope='col'>Token</th>"
        "<th scope='col'>looks most at</th><th scope='col'>with</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></details>"
    )
