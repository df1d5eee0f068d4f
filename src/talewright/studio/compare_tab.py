"""The tab that compares: any number of runs, or of checkpoints, continue the same prompt side by side."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from html import escape
from typing import Any

import gradio as gr

from talewright.generate.engine import trimmed
from talewright.server.scheduler import Generation
from talewright.studio import rendering, shared
from talewright.studio.session import StudioSession
from talewright.studio.shared import Studio, html

EMPTY = "Choose the models above, and press Generate all."
NAME = "Generate all"


class CompareTab:
    """The tab's components and their event handlers."""

    def __init__(self, studio: Studio, session: gr.State) -> None:
        self.studio = studio
        options = studio.registry.options()
        prompt = gr.Textbox(
            label="How the stories begin",
            lines=2,
            max_lines=12,
            placeholder="If this is empty, the models begin on their own.",
            elem_id="both-prompt",
        )
        with gr.Row(elem_classes="start"):
            self.models = gr.Dropdown(
                options,
                value=list(dict.fromkeys(studio.registry.default_pair())),
                multiselect=True,
                label="Models",
                info=shared.BETTER,
                filterable=False,
                elem_id="models",
            )
            start = gr.Button(NAME, variant="primary", elem_id="generate-both")
        with gr.Accordion("Settings", open=False):
            settings = shared.sampling_controls()
        status = html(rendering.status(""), elem_id="compare-status")
        stories = html(rendering.placeholder(EMPTY), elem_id="compared")
        inputs, outputs = [prompt, self.models, session, *settings], [status, stories, start]
        options = {**shared.QUIET, "trigger_mode": "multiple"}
        gr.on([start.click, prompt.submit], self.on_generate, inputs, outputs, **options)

    async def on_generate(
        self, prompt: str | None, models: list[str] | None, session: StudioSession, request: gr.Request, *values: Any
    ) -> AsyncGenerator[list[Any], None]:
        """Generate all with the same settings and seed; one that fails shows why, and the others continue. While they
        are generated, the button says Stop.
        """
        if session.compared:
            session.stop()
            return
        if not models:
            yield [rendering.status("Choose at least one model.", "error"), gr.skip(), gr.skip()]
            return
        text, user, seed = trimmed(prompt or ""), shared.user_of(request), shared.new_seed()
        stories = [_story(text, choice, user, values, seed) for choice in models]
        session.compared = stories
        try:
            async for _ in shared.follow_all(self.studio.scheduler, stories):
                yield [rendering.status("Writing …", "busy"), self._render(stories), shared.start_button(NAME, True)]
        finally:
            if session.compared is stories:
                session.compared = ()
        yield [rendering.status(_ended(stories)), self._render(stories), shared.start_button(NAME, False)]

    def _render(self, stories: Sequence[Generation]) -> str:
        shown = []
        for number, each in enumerate(stories, 1):
            text, kind = shared.progress_of(self.studio.scheduler, each)
            name = shared.model_summary(self.studio, each.choice)
            nothing = not each.running and not each.tokens
            story = rendering.story(each.prompt, each.continuation, each.running, f"Story {number}, by {name}")
            shown.append(
                f'<li id="side-{number}"><p><span class="chip">{escape(name)}</span></p>'
                f"{rendering.placeholder('No story.') if nothing else story}{rendering.state(text, kind)}</li>"
            )
        return f'<ol class="samples">{"".join(shown)}</ol>'


def _story(prompt: str, choice: str, user: str, values: Sequence[Any], seed: int) -> Generation:
    """A generation to submit, or one that is done already, with its error."""
    generation = Generation(user=user, choice=choice, prompt=prompt)
    try:
        generation.sampling = shared.sampling_of(values, seed)
    except Exception as error:
        generation.error, generation.state = shared.error_sentence(error), "done"
    return generation


def _ended(stories: Sequence[Generation]) -> str:
    failed = sum(bool(each.error) for each in stories)
    return f"Done; the same prompt, settings and seed for each.{f' Failed: {failed}.' if failed else ''}"
