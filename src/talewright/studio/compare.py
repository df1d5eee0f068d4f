"""The tab that compares: two runs, or two checkpoints of one, tell from one beginning, side by side."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import gradio as gr

from talewright.studio import showing
from talewright.studio.parts import (
    QUIET,
    Studio,
    beginning,
    follow,
    html,
    in_words,
    sampling_controls,
    sampling_of,
    visitor,
    words_on,
)
from talewright.studio.telling import Telling
from talewright.studio.visit import Visit

EMPTY = "Choose two tellers above, and press Tell both."
SIDES = ("The first", "The second")


class CompareTab:
    """The tab's parts, and what happens when they are used."""

    def __init__(self, studio: Studio, visit: gr.State) -> None:
        self.studio = studio
        choices = studio.library.choices()
        self.prompt = gr.Textbox(
            label="How both stories begin", lines=2, max_lines=12, placeholder="Once upon a time", elem_id="both-prompt"
        )
        with gr.Row():
            self.who = [
                gr.Dropdown(choices, value=value, label=f"{side} teller", filterable=False, elem_id=f"teller-{number}")
                for number, (side, value) in enumerate(zip(SIDES, studio.library.pair(), strict=True), 1)
            ]
        with gr.Row(elem_classes="keys"):
            tell = gr.Button("Tell both", variant="primary", elem_id="tell-both")
            stop = gr.Button("Stop", interactive=False, elem_id="stop-both")
        with gr.Accordion("How they are told", open=False):
            settings = sampling_controls()
        with gr.Row(equal_height=False):
            self.sides = []
            for number, side in enumerate(SIDES, 1):
                with gr.Column(min_width=280):
                    status = html(showing.status(""))
                    self.sides += [status, html(showing.empty(EMPTY), elem_id=f"side-{number}", label=side)]
        outputs = [*self.sides, tell, stop]
        inputs = [self.prompt, *self.who, visit, *settings]
        gr.on([tell.click, self.prompt.submit], self.on_tell, inputs, outputs, **QUIET)
        stop.click(lambda visit: visit.stop(), visit, None, queue=False, **QUIET)

    async def on_tell(
        self, prompt: str | None, first: str, second: str, visit: Visit, request: gr.Request, *values: Any
    ) -> AsyncGenerator[list[Any], None]:
        """Both tell, by the same settings and seed; one that cannot says why, and the other tells all the same."""
        visit.stop()
        text = beginning(prompt)
        tellings = [self._asked(text, choice, visitor(request), values) for choice in (first, second)]
        visit.compared = tellings
        try:
            async for _ in follow(self.studio.desk, tellings):
                yield [*self._sides(tellings), *_keys(True)]
        finally:
            visit.forget(*tellings)
        yield [*self._sides(tellings), *_keys(False)]

    def _asked(self, text: str, choice: str, whose: str, values: Sequence[Any]) -> Telling:
        """A story that is told, or one that is done before it began, with its error."""
        telling = Telling(visitor=whose, choice=choice, text=text)
        try:
            telling.sampling = sampling_of(values)
            return self.studio.desk.ask(telling)
        except Exception as error:
            telling.error, telling.state = in_words(error), "done"
            return telling

    def _sides(self, tellings: list[Telling]) -> list[str]:
        shown = []
        for side, telling in zip(SIDES, tellings, strict=True):
            words, kind = words_on(self.studio.desk, telling)
            who = telling.opened.about if telling.opened else telling.choice
            label = f"{side} story, by {who}"
            shown.append(showing.status(f"{who}: {words}", kind))
            shown.append(
                showing.empty("No story.")
                if telling.error and not telling.told
                else showing.story(telling.text, telling.continuation, telling.running, label)
            )
        return shown


def _keys(telling: bool) -> list[Any]:
    return [gr.Button(interactive=not telling), gr.Button(interactive=telling)]
