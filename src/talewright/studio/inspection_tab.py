"""The tab that inspects the current story with the report's views: each token's loss, and where each head attends."""

from __future__ import annotations

import dataclasses
from typing import Any

import gradio as gr
import numpy as np
import torch

from talewright.inspect.heads import attention_patterns, find_names, losses_without, measure_heads
from talewright.inspect.inspection import (
    PATTERN_BYTES,
    AttentionInspection,
    InspectedModel,
    Inspection,
    PredictionInspection,
    story_pushes,
)
from talewright.inspect.predictions import logit_lens, predict_tokens, prediction_stats
from talewright.inspect.report import page as report
from talewright.model.cost import forward_flops
from talewright.run import RunFolder
from talewright.run.history import History
from talewright.server.registry import LoadedModel
from talewright.server.scheduler import Generation
from talewright.studio import rendering
from talewright.studio.session import StudioSession
from talewright.studio.shared import Studio, error_sentence, html, model_summary
from talewright.studio.word_probabilities import read_tokens

EMPTY = "Generate a story first, under Generate; then see here how well the model predicted it, and where it attended."
VIEWS = ("predictions", "attention")
"""Sections of the report that are shown."""
FLOPS = 2e11
"""Floating-point operations that measuring the heads of a story may take: about ten seconds on two cores."""
SCRIPT = """
const root = element.querySelector(".views");
const $ = (id) => element.querySelector("#inside-" + id);
const show = () => {
  root.innerHTML = props.value?.html ?? "";
  const data = props.value?.data ?? {};
  @views
};
watch("value", show);
show();
"""


class InspectionTab:
    """The tab's components; `refresh` draws them for the session's current story."""

    def __init__(self, studio: Studio, session: gr.State) -> None:
        self.studio = studio
        self.status = html(rendering.status(""), elem_id="inside-status")
        self.empty = html(rendering.placeholder(EMPTY), elem_id="inside-empty")
        script = SCRIPT.replace("@views", report.view_script(VIEWS))
        self.views = html({}, html_template='<div class="views"></div>', js_on_load=script, elem_id="inside")
        self.inputs = [session]
        self.outputs = [self.status, self.empty, self.views]

    async def refresh(self, session: StudioSession) -> list[Any]:
        story = session.story
        if story is None:
            return [rendering.status(""), rendering.placeholder(EMPTY), {}]
        try:
            views = await self.studio.compute(self._inspect, story)
        except Exception as error:
            text = rendering.story(story.prompt, story.continuation)
            return [rendering.status(error_sentence(error), "error"), text, {}]
        return [rendering.status(f"Read by {model_summary(self.studio, story.choice)}."), "", views]

    def _inspect(self, story: Generation) -> dict[str, Any]:
        loaded = self.studio.registry.load(story.choice)
        return views_of(inspect_story(loaded, self.studio.registry.run(loaded.name), story))


def views_of(inspection: Inspection) -> dict[str, Any]:
    """The sections as HTML, whose ids begin with "inside-", and the data of their scripts."""
    written = "".join(report.sections(inspection, VIEWS).values())
    return {"html": written.replace(' id="', ' id="inside-'), "data": report.data(inspection)}


def inspect_story(loaded: LoadedModel, run: RunFolder, story: Generation) -> Inspection:
    """Inspect the newest tokens of the story, as many as the context holds."""
    model = loaded.model
    tokens = read_tokens(story, loaded.tokenizer)[-(model.config.context_length + 1) :]
    predictions = PredictionInspection(
        tokens=predict_tokens(model, tokens),
        lens=logit_lens(model, tokens),
        panels=[],
        spans=None,
        sequences=[tokens],
        stats=prediction_stats(model, [tokens]),
        pushes=story_pushes(model, tokens),
    )
    inspected = InspectedModel(run=run, history=History(name=loaded.name, training={}, evaluations={}), model=model)
    attention = _inspect_attention(loaded, tokens)
    return Inspection(model=inspected, predictions=predictions, attention=attention)


def _inspect_attention(loaded: LoadedModel, tokens: np.ndarray) -> AttentionInspection:
    """Where the heads attend, and how much the loss of this story rises without each, as far as that is affordable."""
    model, config = loaded.model, loaded.model.config
    heads_in_all = config.n_layers * config.n_heads
    shown = tokens[:-1][: int((2 * PATTERN_BYTES / heads_in_all) ** 0.5)]
    names = find_names(tokens, loaded.tokenizer.token_bytes)
    heads, _ = measure_heads(model, [tokens], [names], vocab_size=loaded.tokenizer.vocab_size)
    affordable = int(FLOPS / (0.6 * heads_in_all * forward_flops(config)))
    increases = losses_without(model, [tokens[: max(16, affordable)]])
    heads = [dataclasses.replace(head, loss_without=float(increases[head.layer, head.head])) for head in heads]
    patterns = attention_patterns(model, torch.from_numpy(shown[None]))[:, 0].numpy()
    return AttentionInspection(tokens=shown, patterns=patterns, heads=heads, panels=[])
