"""The tab that tells: a beginning, how it is told, the story as it comes, its words, the stories told before."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import gradio as gr

from talewright.config import PROMPTS
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
    text_of,
    visitor,
    words_on,
)
from talewright.studio.telling import Telling
from talewright.studio.visit import Told, Visit
from talewright.studio.words import read_words

EMPTY = (
    "Write how a story begins, or pick a beginning, and press Tell. With nothing written, the model begins by itself."
)
UNTOLD = "Nothing told yet."
Updates = AsyncGenerator[list[Any], None]


class TellTab:
    """The tab's parts, and what happens when they are used: every handler's answers go to `outputs`."""

    def __init__(self, studio: Studio, visit: gr.State) -> None:
        self.studio, self.visit = studio, visit
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300):
                self._questions()
            with gr.Column(scale=3, min_width=300):
                self._answers()
        self._connect()

    def _questions(self) -> None:
        self.prompt = gr.Textbox(
            label="How the story begins", lines=3, max_lines=12, placeholder="Once upon a time", elem_id="prompt"
        )
        with gr.Row(elem_classes="picks"):
            self.picks = [gr.Button(prompt, size="sm", elem_classes="pick") for prompt in PROMPTS]
        choices = self.studio.library.choices()
        self.who = gr.Dropdown(choices, value=choices[0], label="Who tells", filterable=False, elem_id="who")
        with gr.Row(elem_classes="keys"):
            self.tell = gr.Button("Tell", variant="primary", elem_id="tell")
            self.stop = gr.Button("Stop", interactive=False, elem_id="stop")
            self.go_on = gr.Button("Go on", interactive=False, elem_id="go-on")
            self.again = gr.Button("Tell it again", interactive=False, elem_id="again")
        with gr.Accordion("How it is told", open=False, elem_id="how"):
            self.settings = sampling_controls()

    def _answers(self) -> None:
        self.status = html(showing.status(UNTOLD), elem_id="status")
        self.story = html(showing.empty(EMPTY), js_on_load=text_of("page.js"), elem_id="story")
        self.by_word = gr.Checkbox(label="Word by word: how likely each was", elem_id="by-word")
        self.others = html("", js_on_load=text_of("page.js"), elem_id="others")
        html("<h2>Stories of this visit</h2>")
        self.past = html(showing.past(Visit()), js_on_load=text_of("page.js"), elem_id="past")

    def _connect(self) -> None:
        self.outputs = outputs = [
            self.story,
            self.others,
            self.status,
            self.past,
            self.tell,
            self.stop,
            self.go_on,
            self.again,
        ]
        named = {**QUIET, "api_visibility": "public", "api_name": "tell"}
        asked = [self.visit, *self.settings]
        for pick, prompt in zip(self.picks, PROMPTS, strict=True):
            pick.click(lambda prompt=prompt: prompt, None, self.prompt, queue=False, **QUIET)
        gr.on([self.tell.click, self.prompt.submit], self.on_tell, [self.prompt, self.who, *asked], outputs, **named)
        self.stop.click(self.on_stop, self.visit, None, queue=False, **QUIET)
        self.go_on.click(self.on_go_on, asked, outputs, **QUIET)
        self.again.click(self.on_again, asked, [*outputs, self.settings[-1]], **QUIET)
        self.by_word.change(self.on_by_word, [self.visit, self.by_word], outputs, **QUIET)
        for pressed in (self.story, self.others, self.past):
            pressed.choose(self.on_choose, asked, outputs, **QUIET)

    # --- what happens ------------------------------------------------------------------------------------------------

    async def on_tell(self, prompt: str | None, who: str, visit: Visit, request: gr.Request, *values: Any) -> Updates:
        """Tell a new story."""

        def begin() -> Telling:
            sampling = sampling_of(values)
            return Telling(visitor=visitor(request), choice=who, text=beginning(prompt), sampling=sampling)

        async for update in self._tell(begin, visit):
            yield update

    async def on_go_on(self, visit: Visit, request: gr.Request, *values: Any) -> Updates:
        """Tell more of the current story."""
        told = visit.current
        if told is None or told.finished:
            return

        def begin() -> Telling:
            return _further(told, told.told, values, request)

        async for update in self._tell(begin, visit):
            yield update

    async def on_again(self, visit: Visit, request: gr.Request, *values: Any) -> Updates:
        """Tell the current story's beginning once more, by the next seed."""
        told = visit.current
        if told is None:
            return
        seed = int(values[-1] or 0) + 1

        def begin() -> Telling:
            sampling = sampling_of([*values[:-1], seed])
            return Telling(visitor=visitor(request), choice=told.choice, text=told.text, sampling=sampling)

        async for update in self._tell(begin, visit):
            yield [*update, seed]

    async def on_choose(self, visit: Visit, request: gr.Request, event: gr.EventData, *values: Any) -> Updates:
        """A word was pressed, or one of its alternatives, or a past story."""
        pressed = {key: value for key, value in (event._data or {}).items() if isinstance(value, int)}
        if visit.busy:  # the story that is being told stays where it is
            return
        if "story" in pressed:
            visit.look_at(visit.find(pressed["story"]) or visit.current)
            yield await self._shown(visit)
            return
        told, words, number = visit.current, visit.words, pressed.get("word", -1)
        if told is None or words is None or not 0 <= number < len(words):
            return
        token = pressed.get("token")
        if token is None:
            visit.chosen = number
            yield await self._shown(visit)
        elif any(token == each.token for each in words[number].alternatives):
            async for update in self._tell(lambda: _other(told, words[number].start, token, values, request), visit):
                yield update

    async def on_by_word(self, visit: Visit, by_word: bool) -> list[Any]:
        visit.by_word = by_word
        if visit.busy:  # the story is shown that way when it is told
            return [gr.skip()] * len(self.outputs)
        return await self._shown(visit)

    def on_stop(self, visit: Visit) -> None:
        visit.stop()

    # --- how it is shown ---------------------------------------------------------------------------------------------

    async def _tell(self, begin: Callable[[], Telling], visit: Visit) -> Updates:
        """Have it told, and show it as it comes; whatever goes wrong is a sentence."""
        try:
            visit.stop()
            telling = self.studio.desk.ask(begin())
        except Exception as error:
            yield await self._shown(visit, in_words(error), "error")
            return
        visit.telling = telling
        try:
            async for _ in follow(self.studio.desk, [telling]):
                yield self._busy(telling)
        finally:
            visit.forget(telling)
        visit.keep(telling)
        yield await self._shown(visit, *words_on(self.studio.desk, telling))

    def _busy(self, telling: Telling) -> list[Any]:
        skip = gr.skip()
        return [
            showing.story(telling.text, telling.continuation, busy=True),
            "",
            showing.status(*words_on(self.studio.desk, telling)),
            skip,
            *_keys(tell=False, stop=True, go_on=False, again=False),
        ]

    async def _shown(self, visit: Visit, words: str = "", kind: str = "") -> list[Any]:
        """The current story, by word where that is wanted and the model that told it can still be opened."""
        told, others = visit.current, ""
        if told is None:
            status = showing.status(words or UNTOLD, kind)
            return [showing.empty(EMPTY), "", status, showing.past(visit), *_keys_of(visit)]
        words = words or f"Story {told.number}, by {told.about}."
        story = showing.story(told.text, told.continuation)
        if visit.by_word and told.told:
            try:
                read = visit.words if visit.words is not None else await self.studio.look(self._read, told)
                visit.words = read
                story = showing.story_by_word(told, read, visit.chosen)
                others = showing.alternatives(read, visit.chosen)
            except Exception as error:
                words, kind = in_words(error), "error"
        return [story, others, showing.status(words, kind), showing.past(visit), *_keys_of(visit)]

    def _read(self, told: Told) -> Any:
        return read_words(self.studio.library.open(told.choice), told.given, told.told)


def _further(told: Told, tokens: Sequence[int], values: Sequence[Any], request: gr.Request) -> Telling:
    """The story again from these of its tokens, by the settings of now."""
    return Telling(
        visitor=visitor(request),
        choice=told.choice,
        text=told.text,
        sampling=sampling_of(values),
        given=told.given,
        told=list(tokens),
        part=told.part + 1,
    )


def _other(told: Told, end: int, token: int, values: Sequence[Any], request: gr.Request) -> Telling:
    return _further(told, [*told.told[:end], token], values, request)


def _keys(tell: bool, stop: bool, go_on: bool, again: bool) -> list[Any]:
    return [gr.Button(interactive=each) for each in (tell, stop, go_on, again)]


def _keys_of(visit: Visit) -> list[Any]:
    now = visit.current
    return _keys(tell=True, stop=False, go_on=now is not None and not now.finished, again=now is not None)
