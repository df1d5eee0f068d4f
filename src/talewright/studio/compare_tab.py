"""The tab that compares: two runs, or two checkpoints of one, continue the same prompt side by side."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import gradio as gr

from talewright.generate.engine import trimmed
from talewright.server.scheduler import Generation
from talewright.studio import rendering, shared
from talewright.studio.session import StudioSession
from talewright.studio.shared import Studio, html

EMPTY = "Choose two models above, and press Generate both."
SIDES = ("First", "Second")


class CompareTab:
    """The tab's components and their event handlers."""

    def __init__(self, studio: Studio, session: gr.State) -> None:
        self.studio = studio
        choices = studio.registry.choices()
        prompt = gr.Textbox(
            label="How both stories begin",
            lines=2,
            max_lines=12,
            placeholder="If this is empty, the models begin on their own.",
            elem_id="both-prompt",
        )
        with gr.Row():
            self.models = [
                gr.Dropdown(choices, value=value, label=f"{side} model", filterable=False, elem_id=f"model-{number}")
                for number, (side, value) in enumerate(zip(SIDES, studio.registry.default_pair(), strict=True), 1)
            ]
        with gr.Row(elem_classes="keys"):
            both = gr.Button("Generate both", variant="primary", elem_id="generate-both")
            stop = gr.Button("Stop", interactive=False, elem_id="stop-both")
        with gr.Accordion("Settings", open=False):
            settings = shared.sampling_controls()
        outputs = []
        with gr.Row(equal_height=False):
            for number in (1, 2):
                with gr.Column(min_width=280):
                    status = html(rendering.status(""))
                    outputs += [status, html(rendering.placeholder(EMPTY), elem_id=f"side-{number}")]
        outputs += [both, stop]
        inputs = [prompt, *self.models, session, *settings]
        gr.on([both.click, prompt.submit], self.on_generate, inputs, outputs, **shared.QUIET)
        stop.click(lambda session: session.stop(), session, None, queue=False, **shared.QUIET)

    async def on_generate(
        self, prompt: str | None, first: str, second: str, session: StudioSession, request: gr.Request, *values: Any
    ) -> AsyncGenerator[list[Any], None]:
        """Generate both with the same settings and seed; if one fails, its side shows why and the other continues."""
        session.stop()
        text, user, seed = trimmed(prompt or ""), shared.user_of(request), shared.new_seed()
        pair = [self._submit(text, choice, user, values, seed) for choice in (first, second)]
        session.compared = pair
        try:
            async for _ in shared.follow(self.studio.scheduler, pair):
                yield [*self._render(pair), gr.Button(interactive=False), gr.Button(interactive=True)]
        finally:
            if session.compared is pair:
                session.compared = ()
        yield [*self._render(pair), gr.Button(interactive=True), gr.Button(interactive=False)]

    def _submit(self, prompt: str, choice: str, user: str, values: Sequence[Any], seed: int) -> Generation:
        """A generation that was submitted, or one that is done already, with its error."""
        generation = Generation(user=user, choice=choice, prompt=prompt)
        try:
            generation.sampling = shared.sampling_of(values, seed)
            return self.studio.scheduler.submit(generation)
        except Exception as error:
            generation.error, generation.state = shared.error_sentence(error), "done"
            return generation

    def _render(self, pair: Sequence[Generation]) -> list[str]:
        shown = []
        for side, each in zip(SIDES, pair, strict=True):
            name = each.label or each.choice
            text, kind = shared.progress_of(self.studio.scheduler, each)
            story = rendering.story(each.prompt, each.continuation, each.running, f"{side} story, by {name}")
            nothing = not each.running and not each.tokens
            shown += [
                rendering.status(f"{name}: {text}", kind),
                rendering.placeholder("No story.") if nothing else story,
            ]
        return shown
