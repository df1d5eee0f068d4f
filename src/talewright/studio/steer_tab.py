"""The tab that changes the current story's model: parts switched off, or the stream steered; and shows what follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from html import escape
from typing import Any

import gradio as gr

from talewright.errors import UserError
from talewright.inspect.parts import all_parts
from talewright.server.scheduler import Generation
from talewright.studio import changes, rendering, shared
from talewright.studio.changes import Change
from talewright.studio.session import StudioSession
from talewright.studio.shared import QUIET, Studio, error_sentence, html, read_asset

EMPTY = "Generate a story first, under Generate; then change its model here, and see what it would have written."
NAME = "Generate with the change"
TOWARD = """The sun was bright and everyone was happy.
They laughed and danced and had so much fun.
He smiled. It was the best day ever!"""
AWAY = """It was dark and everyone was sad.
They cried and were very scared.
He was hurt and all alone. It was a bad day."""
ZERO, AVERAGE = "nothing (0)", "its average"


class SteerTab:
    """The tab's components; `refresh` draws them for the session's current story."""

    def __init__(self, studio: Studio, session: gr.State) -> None:
        self.studio = studio
        self.status = html(rendering.status(""), elem_id="steer-status")
        self.empty = html(rendering.placeholder(EMPTY), elem_id="steer-empty")
        with gr.Column(visible=False) as self.body:
            with gr.Row(equal_height=False):
                with gr.Column(scale=1, min_width=280):
                    html("<h2>Switch parts off</h2>")
                    script = "element.addEventListener('click', ({ target }) => { const part = target.closest("
                    script += "'[data-part]'); if (part) trigger('choose', { part: part.dataset.part }); });"
                    self.parts = html("", js_on_load=script, elem_id="parts")
                    self.average = gr.Radio([ZERO, AVERAGE], value=ZERO, label="A part that is off puts out")
                with gr.Column(scale=1, min_width=280):
                    html("<h2>Steer</h2>")
                    self.strength = gr.Slider(
                        -4, 4, 0, step=0.25, label="Strength", info="0: no steering.", buttons=[], elem_id="strength"
                    )
                    self.layer = gr.Slider(0, 1, 0, step=1, label="After layer", buttons=[])
                    with gr.Accordion("The direction: from one set of texts to another", open=False):
                        self.toward = gr.Textbox(TOWARD, label="Toward these texts, one in a line", lines=3)
                        self.away = gr.Textbox(AWAY, label="Away from these", lines=3)
            with gr.Row(elem_classes="keys start"):
                self.start = gr.Button(NAME, variant="primary", elem_id="generate-changed")
            self.stories = html("", elem_id="changed")
            html("<h2>What it does to the probabilities of this story</h2>")
            self.losses = html(
                {}, html_template=read_asset("steer.html"), js_on_load=shared.view_script("steer.js"), elem_id="changes"
            )
        change = [self.average, self.toward, self.away, self.layer, self.strength]
        self.inputs = [session, *change]
        self.outputs = [self.status, self.empty, self.body, self.parts, self.layer, self.losses, self.stories]
        self._connect()

    def _connect(self) -> None:
        inputs = self.inputs
        for component in (self.average, self.toward, self.away, self.layer):
            component.input(self.refresh, inputs, self.outputs, trigger_mode="always_last", **QUIET)
        self.strength.input(self.refresh, inputs, self.outputs, trigger_mode="always_last", **QUIET)
        self.parts.choose(self.on_choose, inputs, self.outputs, **QUIET)
        options = {**QUIET, "trigger_mode": "multiple"}
        self.start.click(self.on_generate, inputs, [self.status, self.stories, self.start], **options)

    async def on_choose(self, session: StudioSession, event: gr.EventData, *values: Any) -> list[Any]:
        """A part was switched off, or on again; or all were switched on."""
        part = str((event._data or {}).get("part", ""))
        if part == "all":
            session.switched_off.clear()
        elif part in session.switched_off:
            session.switched_off.remove(part)
        else:
            session.switched_off.append(part)
        return await self.refresh(session, *values)

    async def refresh(self, session: StudioSession, *values: Any) -> list[Any]:
        """The parts, and the probabilities of the current story with the change."""
        story = session.story
        if story is None:
            hidden = gr.Column(visible=False)
            return [rendering.status(""), rendering.placeholder(EMPTY), hidden, "", gr.skip(), {}, ""]
        stories = gr.skip() if session.changing else self._side_by_side(story, session.changed)
        try:
            return [*await self.studio.compute(self._render, session, story, values), stories]
        except Exception as error:
            status = rendering.status(error_sentence(error), "error")
            return [status, "", gr.Column(visible=True), gr.skip(), gr.skip(), gr.skip(), stories]

    def _render(self, session: StudioSession, story: Generation, values: tuple[Any, ...]) -> list[Any]:
        loaded = self.studio.registry.load(story.choice)
        config = loaded.model.config
        names = [part.name for part in all_parts(config)]
        session.switched_off = [name for name in session.switched_off if name in names]  # another model's
        change = _change(session, values, config.n_layers)
        rows = changes.predicted(loaded, story, change)
        before, after = changes.mean_losses(rows)
        words = f"{change.words[:1].upper()}{change.words[1:]}: the loss on this story is {after:.2f} nats per token"
        words += "." if change.nothing else f", {after - before:+.2f} to that of the model as it is."
        layer = gr.Slider(maximum=max(1, config.n_layers - 1), value=change.layer)
        parts = _parts(names, session.switched_off)
        return [rendering.status(""), "", gr.Column(visible=True), parts, layer, {"rows": rows, "words": words}]

    async def on_generate(self, session: StudioSession, *values: Any) -> AsyncGenerator[list[Any], None]:
        """Write the story again with the changed model, from the same prompt, settings and seed. While it is written,
        the button says Stop.
        """
        if session.changing is not None:
            session.stop()
            return
        story = session.story
        if story is None:
            return
        again = session.changing = changes.begin_again(story)
        try:
            loaded = await self.studio.compute(self.studio.registry.load, story.choice)
            change = _change(session, values, loaded.model.config.n_layers)
            session.changed = again, change.words
            written = self.studio.write(changes.generate_changed, loaded, change, again)
            while again.running:
                shared.poll(again)
                status = rendering.status("Writing …", "busy")
                yield [status, self._side_by_side(story, session.changed), _start(True)]
                await asyncio.sleep(shared.RUNNING)
            await asyncio.wrap_future(written)
            text, kind = shared.progress_of(self.studio.scheduler, again)
            yield [rendering.status(text, kind), self._side_by_side(story, session.changed), _start(False)]
        except Exception as error:
            yield [rendering.status(error_sentence(error), "error"), gr.skip(), _start(False)]
        finally:
            again.stop()
            session.changing = None

    def _side_by_side(self, story: Generation, changed: tuple[Generation, str] | None) -> str:
        """The story as it is, and as the changed model writes it."""
        name = shared.model_summary(self.studio, story.choice)
        sides = [(name, rendering.story(story.prompt, story.continuation, label="The story as it is"))]
        if changed is not None:
            again, words = changed
            text = rendering.story(again.prompt, again.continuation, again.running, "The story with the change")
            sides.append((f"{name} · {words}", text))
        items = [f'<li><p><span class="chip">{escape(chip)}</span></p>{text}</li>' for chip, text in sides]
        return f'<ol class="samples">{"".join(items)}</ol>'


def _start(running: bool) -> gr.Button:
    return shared.start_button(NAME, running)


def _change(session: StudioSession, values: tuple[Any, ...], layers: int) -> Change:
    average, toward, away, layer, strength = values
    texts = [tuple(line.strip() for line in str(text or "").splitlines() if line.strip()) for text in (toward, away)]
    if strength and not all(texts):
        raise UserError("a direction needs at least one text on both sides; or set the strength to 0")
    return Change(
        switched_off=tuple(session.switched_off),
        average=average == AVERAGE,
        toward=texts[0],
        away=texts[1],
        layer=min(int(layer or 0), layers - 1),
        strength=float(strength or 0),
    )


def _parts(names: list[str], off: list[str]) -> str:
    """A button for each part, a row for each layer; those that are off are pressed."""
    rows, buttons = [], []
    for name in names:
        is_off = str(name in off).lower()
        label = f"Feed-forward layer {name[4:]}" if name.startswith("MLP") else f"Head {name}"
        buttons.append(
            f'<button type="button" class="part" data-part="{name}" aria-pressed="{is_off}" '
            f'title="{label}" aria-label="{label} off">{name}</button>'
        )
        if name.startswith("MLP"):
            rows.append(f'<div class="layer">{"".join(buttons)}</div>')
            buttons = []
    clear = '<button type="button" class="toggle" data-part="all">All on</button>' if off else ""
    return (
        f'<div class="parts" role="group" aria-label="Parts of the model">{"".join(rows)}</div>'
        f'<p class="hint">Each row is a layer: its heads, then its feed-forward layer (MLP). {clear}</p>'
    )
