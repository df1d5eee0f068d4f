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
        self._build_prompt()
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=300):
                self._build_story()
            with gr.Column(scale=3, min_width=260):
                self.settings = shared.sampling_controls()
                html("<h2>Your stories</h2>")
                script = shared.read_asset("page.js")
                self.past = html(rendering.past_stories(StudioSession()), js_on_load=script, elem_id="past")
        keys = [self.generate, self.go_on, self.regenerate]
        self.outputs = [self.head, self.story, self.alternatives, self.status, self.past, *keys]
        self._connect(session)

    def _build_prompt(self) -> None:
        self.prompt = gr.Textbox(
            label="How the story begins",
            lines=2,
            max_lines=12,
            placeholder="If this is empty, the model begins on its own.",
            elem_id="prompt",
        )
        with gr.Row(elem_classes="picks"):
            self.picks = [gr.Button(prompt, size="sm", elem_classes="pick") for prompt in PROMPTS]
        with gr.Row(elem_classes="start"):
            options = self.studio.registry.options()
            self.model = gr.Dropdown(
                options, value=options[0][1], label="Model", info=shared.BETTER, filterable=False, elem_id="model"
            )
            self.generate = gr.Button("Generate", variant="primary", elem_id="generate")

    def _build_story(self) -> None:
        script = shared.read_asset("page.js")
        self.status = html(rendering.status(NO_STORY), elem_id="status")
        self.head = html("", js_on_load=script, elem_id="story-head")
        self.story = html(rendering.placeholder(EMPTY), js_on_load=script, elem_id="story")
        with gr.Row(elem_classes="keys"):
            self.go_on = gr.Button("Continue", interactive=False, elem_id="continue")
            self.regenerate = gr.Button("Regenerate", interactive=False, elem_id="regenerate")
        self.alternatives = html("", js_on_load=script, elem_id="others")

    def _connect(self, session: gr.State) -> None:
        inputs, outputs = [session, *self.settings], self.outputs
        for pick, prompt in zip(self.picks, PROMPTS, strict=True):
            pick.click(lambda prompt=prompt: prompt, None, self.prompt, queue=False, **shared.QUIET)
        public = {**shared.QUIET, "api_visibility": "public", "api_name": "generate", "trigger_mode": "multiple"}
        new = [self.prompt, self.model, *inputs]
        gr.on([self.generate.click, self.prompt.submit], self.on_generate, new, outputs, **public)
        self.go_on.click(self.on_continue, inputs, outputs, **shared.QUIET)
        self.regenerate.click(self.on_regenerate, inputs, [*outputs, self.settings[-1]], **shared.QUIET)
        for component in (self.head, self.story, self.alternatives, self.past):
            component.choose(self.on_choose, inputs, outputs, **shared.QUIET)

    # --- events ------------------------------------------------------------------------------------------------------

    async def on_generate(
        self, prompt: str | None, model: str, session: StudioSession, request: gr.Request, *values: Any
    ) -> Updates:
        """Generate a new story; while one is generated, the button says Stop, and stops it."""
        if session.generating is not None:
            session.stop()
            return
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
        """The toggle Word by word, a word, one of its alternatives, or a past story was chosen."""
        chosen = {key: value for key, value in (event._data or {}).items() if isinstance(value, int)}
        if "toggle" in chosen:
            session.by_word = not session.by_word
        if session.generating is not None:  # the story in progress stays on the page
            yield [rendering.story_head(self._model_of(session.generating), session.by_word), *self._skip()[1:]]
            return
        story, words, number = session.story, session.words, chosen.get("word", -1)
        if "story" in chosen:
            session.show(chosen["story"])
        elif "toggle" in chosen:
            session.chosen = None
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
            head = rendering.story_head(self._model_of(generation), session.by_word)
            async for _ in shared.follow(scheduler, [generation]):
                story = rendering.story(generation.prompt, generation.continuation, busy=True)
                status = rendering.status(*shared.progress_of(scheduler, generation))
                yield [head, story, "", status, gr.skip(), *_buttons(running=True)]
                head = gr.skip()  # drawn once: a button that is drawn again would miss clicks
        finally:
            if session.generating is generation:
                session.generating = None
        session.keep(generation)
        yield await self._render(session, *shared.progress_of(scheduler, generation))

    async def _render(self, session: StudioSession, text: str = "", kind: str = "") -> list[Any]:
        """The current story; word by word, if that is wanted and its model can still be loaded."""
        story, head, alternatives = session.story, "", ""
        if story is None:
            shown, text = rendering.placeholder(EMPTY), text or NO_STORY
        else:
            head = rendering.story_head(self._model_of(story), session.by_word)
            shown = rendering.story(story.prompt, story.continuation)
            text = text or f"Story {session.current}. Seed {story.sampling.seed}."
        if story is not None and session.by_word and story.tokens:
            try:
                if session.words is None:
                    session.words = await self.studio.compute(self._words, story)
                shown = rendering.story_by_word(story.prompt, session.words, session.chosen)
                alternatives = rendering.alternatives(session.words, session.chosen)
            except Exception as error:
                text, kind = shared.error_sentence(error), "error"
        buttons = _buttons(False, story is not None and not story.finished, story is not None)
        return [head, shown, alternatives, rendering.status(text, kind), rendering.past_stories(session), *buttons]

    def _model_of(self, story: Generation) -> str:
        """The chip of a story's model."""
        return shared.model_summary(self.studio, story.choice)

    def _skip(self) -> list[Any]:
        return [gr.skip()] * len(self.outputs)

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


def _buttons(running: bool, go_on: bool = False, regenerate: bool = False) -> list[Any]:
    """Generate, which says Stop while a story is generated; Continue; Regenerate."""
    return [
        shared.start_button("Generate", running),
        gr.Button(interactive=go_on and not running),
        gr.Button(interactive=regenerate and not running),
    ]
