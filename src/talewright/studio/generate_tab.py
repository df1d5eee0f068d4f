"""The tab that generates stories: the prompt, the settings, the story as it grows, its words, the stories before it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import gradio as gr

from talewright.config import PROMPTS
from talewright.generate.engine import trimmed
from talewright.server.scheduler import Generation
from talewright.studio import rendering, shared
from talewright.studio.session import StudioSession
from talewright.studio.shared import Studio, html
from talewright.studio.word_probabilities import WordProbability, word_probabilities

EMPTY = "Write how a story begins, or pick a prompt, and press Generate. Without a prompt the model begins on its own."
NO_STORY = "No story yet."
Updates = AsyncGenerator[list[Any], None]


class GenerateTab:
    """The tab's components and their event handlers. Every handler updates `outputs`."""

    def __init__(self, studio: Studio, session: gr.State) -> None:
        self.studio = studio
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300):
                self._build_controls()
            with gr.Column(scale=3, min_width=300):
                self._build_story()
        keys = [self.generate, self.stop, self.go_on, self.regenerate]
        self.outputs = [self.story, self.alternatives, self.status, self.past, *keys]
        self._connect(session)

    def _build_controls(self) -> None:
        self.prompt = gr.Textbox(
            label="How the story begins",
            lines=3,
            max_lines=12,
            placeholder="If this is empty, the model begins on its own.",
            elem_id="prompt",
        )
        with gr.Row(elem_classes="picks"):
            self.picks = [gr.Button(prompt, size="sm", elem_classes="pick") for prompt in PROMPTS]
        choices = self.studio.registry.choices()
        self.model = gr.Dropdown(choices, value=choices[0], label="Model", filterable=False, elem_id="model")
        with gr.Row(elem_classes="keys"):
            self.generate = gr.Button("Generate", variant="primary", elem_id="generate")
            self.stop = gr.Button("Stop", interactive=False, elem_id="stop")
            self.go_on = gr.Button("Continue", interactive=False, elem_id="continue")
            self.regenerate = gr.Button("Regenerate", interactive=False, elem_id="regenerate")
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            self.settings = shared.sampling_controls()

    def _build_story(self) -> None:
        script = shared.read_asset("page.js")
        self.status = html(rendering.status(NO_STORY), elem_id="status")
        self.story = html(rendering.placeholder(EMPTY), js_on_load=script, elem_id="story")
        self.by_word = gr.Checkbox(label="Word by word: how probable each was", elem_id="by-word")
        self.alternatives = html("", js_on_load=script, elem_id="others")
        html("<h2>Your stories</h2>")
        self.past = html(rendering.past_stories(StudioSession()), js_on_load=script, elem_id="past")

    def _connect(self, session: gr.State) -> None:
        inputs, outputs = [session, *self.settings], self.outputs
        for pick, prompt in zip(self.picks, PROMPTS, strict=True):
            pick.click(lambda prompt=prompt: prompt, None, self.prompt, queue=False, **shared.QUIET)
        public = {**shared.QUIET, "api_visibility": "public", "api_name": "generate"}
        new = [self.prompt, self.model, *inputs]
        gr.on([self.generate.click, self.prompt.submit], self.on_generate, new, outputs, **public)
        self.stop.click(lambda session: session.stop(), session, None, queue=False, **shared.QUIET)
        self.go_on.click(self.on_continue, inputs, outputs, **shared.QUIET)
        self.regenerate.click(self.on_regenerate, inputs, [*outputs, self.settings[-1]], **shared.QUIET)
        self.by_word.change(self.on_by_word, [session, self.by_word], outputs, **shared.QUIET)
        for component in (self.story, self.alternatives, self.past):
            component.choose(self.on_choose, inputs, outputs, **shared.QUIET)

    # --- events ------------------------------------------------------------------------------------------------------

    async def on_generate(
        self, prompt: str | None, model: str, session: StudioSession, request: gr.Request, *values: Any
    ) -> Updates:
        """Generate a new story."""
        async for update in self._generate(session, lambda: _new(trimmed(prompt or ""), model, values, request)):
            yield update

    async def on_continue(self, session: StudioSession, request: gr.Request, *values: Any) -> Updates:
        """Continue the current story."""
        story = session.story
        if story is None or story.finished:
            return
        async for update in self._generate(session, lambda: _continued(story, story.tokens, values, request)):
            yield update

    async def on_regenerate(self, session: StudioSession, request: gr.Request, *values: Any) -> Updates:
        """Generate from the current story's prompt again, with a new seed; the seed's box becomes empty."""
        story = session.story
        if story is None:
            return
        values = (*values[:-1], "")
        async for update in self._generate(session, lambda: _new(story.prompt, story.choice, values, request)):
            yield [*update, ""]

    async def on_choose(
        self, session: StudioSession, request: gr.Request, event: gr.EventData, *values: Any
    ) -> Updates:
        """A word, one of its alternatives, or a past story was chosen."""
        chosen = {key: value for key, value in (event._data or {}).items() if isinstance(value, int)}
        if session.generating is not None:  # the story in progress stays on the page
            return
        story, words, number = session.story, session.words, chosen.get("word", -1)
        if "story" in chosen:
            session.show(chosen["story"])
        elif story is None or words is None or not 0 <= number < len(words):
            return
        elif "token" not in chosen:
            session.chosen = number
        else:
            word, token = words[number], chosen["token"]
            if any(token == each.token for each in word.alternatives):
                tokens = [*story.tokens[: word.start], token]
                async for update in self._generate(session, lambda: _continued(story, tokens, values, request)):
                    yield update
            return
        yield await self._render(session)

    async def on_by_word(self, session: StudioSession, by_word: bool) -> list[Any]:
        session.by_word = by_word
        if session.generating is not None:  # the story will be shown by word when it is done
            return [gr.skip()] * len(self.outputs)
        return await self._render(session)

    # --- rendering ---------------------------------------------------------------------------------------------------

    async def _generate(self, session: StudioSession, make: Callable[[], Generation]) -> Updates:
        """Submit a generation, and show it as it grows. Any error becomes a sentence on the page."""
        scheduler = self.studio.scheduler
        try:
            session.stop()
            generation = scheduler.submit(make())
        except Exception as error:
            yield await self._render(session, shared.error_sentence(error), "error")
            return
        session.generating = generation
        try:
            async for _ in shared.follow(scheduler, [generation]):
                story = rendering.story(generation.prompt, generation.continuation, busy=True)
                status = rendering.status(*shared.progress_of(scheduler, generation))
                yield [story, "", status, gr.skip(), *_buttons(False, True, False, False)]
        finally:
            if session.generating is generation:
                session.generating = None
        session.keep(generation)
        yield await self._render(session, *shared.progress_of(scheduler, generation))

    async def _render(self, session: StudioSession, text: str = "", kind: str = "") -> list[Any]:
        """The current story; word by word, if that is wanted and its model can still be loaded."""
        story, alternatives = session.story, ""
        if story is None:
            shown, text = rendering.placeholder(EMPTY), text or NO_STORY
        else:
            shown = rendering.story(story.prompt, story.continuation)
            text = text or f"Story {session.current}, by {story.label}, seed {story.sampling.seed}."
        if story is not None and session.by_word and story.tokens:
            try:
                if session.words is None:
                    session.words = await self.studio.compute(self._words, story)
                shown = rendering.story_by_word(story.prompt, session.words, session.chosen)
                alternatives = rendering.alternatives(session.words, session.chosen)
            except Exception as error:
                text, kind = shared.error_sentence(error), "error"
        buttons = _buttons(True, False, story is not None and not story.finished, story is not None)
        return [shown, alternatives, rendering.status(text, kind), rendering.past_stories(session), *buttons]

    def _words(self, story: Generation) -> list[WordProbability]:
        return word_probabilities(self.studio.registry.load(story.choice), story.prompt_tokens or [], story.tokens)


def _new(prompt: str, choice: str, values: Sequence[Any], request: gr.Request, seed: int | None = None) -> Generation:
    sampling = shared.sampling_of(values, seed)
    return Generation(user=shared.user_of(request), choice=choice, prompt=prompt, sampling=sampling)


def _continued(story: Generation, tokens: Sequence[int], values: Sequence[Any], request: gr.Request) -> Generation:
    """The story again from these of its tokens, with the current settings, and its own seed if there is no other."""
    generation = _new(story.prompt, story.choice, values, request, story.sampling.seed)
    generation.prompt_tokens, generation.tokens, generation.part = story.prompt_tokens, list(tokens), story.part + 1
    return generation


def _buttons(generate: bool, stop: bool, go_on: bool, regenerate: bool) -> list[Any]:
    return [gr.Button(interactive=each) for each in (generate, stop, go_on, regenerate)]
