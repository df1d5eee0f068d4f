"""The tab that inspects the current story: the loss of each token, and where each attention head attends."""

from __future__ import annotations

from html import escape
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import torch

from talewright.inspect.figures.attention import PANEL_TOKENS, heatmap_panel
from talewright.inspect.figures.predictions import losses_panel
from talewright.inspect.figures.style import Panel, to_svg
from talewright.inspect.heads import attention_patterns
from talewright.inspect.predictions import predict_tokens
from talewright.inspect.sequences import display_token
from talewright.server.registry import LoadedModel
from talewright.server.scheduler import Generation
from talewright.studio import rendering
from talewright.studio.session import StudioSession
from talewright.studio.shared import QUIET, Studio, error_sentence, html

EMPTY = "Generate a story first, under Generate; then see here how well the model predicted it, and where it attended."
FIRST = "Layer 0, head 0"


class StoryInspection(NamedTuple):
    """What the tab shows of a story, as HTML, for one of the model's heads."""

    losses: str
    attention: str
    heads: list[str]
    head: str


class InspectionTab:
    """The tab's components; `refresh` draws them for the session's current story."""

    def __init__(self, studio: Studio, session: gr.State) -> None:
        self.studio = studio
        self.status = html(rendering.status(""))
        self.losses = html(rendering.placeholder(EMPTY), elem_id="losses")
        self.head = gr.Dropdown(
            [FIRST], value=FIRST, label="Attention head", filterable=False, visible=False, elem_id="head"
        )
        self.attention = html("", elem_id="attention")
        self.inputs = [session, self.head]
        self.outputs = [self.status, self.losses, self.head, self.attention]
        self.head.input(self.refresh, self.inputs, self.outputs, **QUIET)

    async def refresh(self, session: StudioSession, head: str | None) -> list[Any]:
        story, hidden = session.story, gr.Dropdown(visible=False)
        if story is None:
            return [rendering.status(""), rendering.placeholder(EMPTY), hidden, ""]
        try:
            found = await self.studio.compute(self._inspect, story, head or FIRST)
        except Exception as error:
            text = rendering.story(story.prompt, story.continuation)
            return [rendering.status(error_sentence(error), "error"), text, hidden, ""]
        choices = gr.Dropdown(choices=found.heads, value=found.head, visible=True)
        return [rendering.status(f"Read by {story.label}."), found.losses, choices, found.attention]

    def _inspect(self, story: Generation, head: str) -> StoryInspection:
        return inspect_story(self.studio.registry.load(story.choice), story, head)


def inspect_story(loaded: LoadedModel, story: Generation, head: str) -> StoryInspection:
    """Inspect the newest tokens of the story, as many as the context holds."""
    model, tokenizer, config = loaded.model, loaded.tokenizer, loaded.model.config
    end = [tokenizer.eos_id] if story.finished else []
    whole = np.array([tokenizer.begin_id, *(story.prompt_tokens or []), *story.tokens, *end], dtype=np.int64)
    tokens = whole[-(config.context_length + 1) :]
    texts = [display_token(tokenizer, int(token)) for token in tokens]
    heads = [f"Layer {layer}, head {number}" for layer in range(config.n_layers) for number in range(config.n_heads)]
    head = head if head in heads else heads[0]
    layer, number = divmod(heads.index(head), config.n_heads)
    losses = figure(losses_panel(predict_tokens(model, tokens).losses, texts[1:])) if len(tokens) > 1 else ""
    inputs = torch.from_numpy(tokens[None, : min(PANEL_TOKENS, config.context_length)])
    pattern = attention_patterns(model, inputs, layer)[0, 0, number].numpy()  # (T, T)
    attention = figure(heatmap_panel(pattern, texts[: len(pattern)], head)) + _table(pattern, texts)
    return StoryInspection(losses=losses, attention=attention, heads=heads, head=head)


def figure(panel: Panel) -> str:
    """A panel with its finding as the caption, and how it was computed below."""
    return (
        f'<figure class="panel"><figcaption>{escape(panel.title)}</figcaption>{to_svg(panel)}'
        f'<p class="hint">{escape(panel.how)}</p></figure>'
    )


def _table(pattern: np.ndarray, texts: list[str]) -> str:
    """The figure as text: for each token, where most of the attention goes."""
    rows = []
    for i in range(1, len(pattern)):
        top = int(pattern[i].argmax())
        share = rendering.percent(float(pattern[i, top]))
        rows.append(f"<tr><td>{i}. {escape(texts[i])}</td><td>{top}. {escape(texts[top])}</td><td>{share}</td></tr>")
    return (
        "<details><summary>As text</summary><table><thead><tr><th scope='col'>Token</th>"
        "<th scope='col'>attends most to</th><th scope='col'>with</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></details>"
    )
