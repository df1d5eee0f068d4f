"""What the tabs share: the library and the desk, the controls of telling, how a story is followed, how it is said."""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, TypeVar

import gradio as gr

from talewright.errors import UserError
from talewright.generate.sampling import Sampling
from talewright.studio.library import Library
from talewright.studio.telling import WENT_WRONG, Desk, Telling

WATCHED, QUEUED = 0.12, 0.5
"""Seconds between two looks at a story that is told, and at one that waits."""
QUIET: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None, "api_visibility": "private"}
"""How every event but telling is connected: no veil of Gradio's over the page, nobody waits for another, no name."""
T = TypeVar("T")


@dataclass(kw_only=True)
class Studio:
    """What all visitors share."""

    library: Library
    desk: Desk
    looks: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "looks"))
    """Reads told stories and draws, one thing at a time, so that memory stays bounded."""

    async def look(self, function: Callable[..., T], *values: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.looks, function, *values)

    def close(self) -> None:
        self.desk.close()
        self.looks.shutdown(cancel_futures=True)


def sampling_controls() -> list[Any]:
    """The controls in the order of `sampling_of`."""
    return [
        gr.Slider(
            0.1,
            1.5,
            0.8,
            step=0.1,
            label="Temperature",
            info="Lower keeps to what is likely, higher takes more chances.",
        ),
        gr.Slider(20, 400, 100, step=1, label="New tokens", info="The longest a story goes on before it pauses."),
        gr.Slider(1, 200, 50, step=1, label="Top-k", info="Choose among this many of the likeliest tokens."),
        gr.Slider(
            0.05,
            1.0,
            1.0,
            step=0.05,
            label="Top-p",
            info="Choose among those that hold this share of the probability; 1 is all.",
        ),
        gr.Slider(
            1.0,
            2.0,
            1.0,
            step=0.05,
            label="Repetition penalty",
            info="Above 1, what was told already becomes less likely.",
        ),
        gr.Number(
            0, label="Seed", precision=0, minimum=0, info="The same seed tells the same story.", elem_classes="seed"
        ),
    ]


def sampling_of(values: Sequence[Any]) -> Sampling:
    """Raises UserError where a value is out of range."""
    temperature, new_tokens, top_k, top_p, penalty, seed = values
    return Sampling(
        temperature=float(temperature),
        max_new_tokens=int(new_tokens),
        top_k=int(top_k),
        top_p=float(top_p),
        repetition_penalty=float(penalty),
        seed=int(seed or 0),
    )


def beginning(prompt: str | None) -> str:
    """A beginning as it is told from: a space at its end belongs to the word after it."""
    return (prompt or "").rstrip(" ")


def html(value: str, **options: Any) -> Any:
    """HTML of ours, in the page's own style."""
    return gr.HTML(value, apply_default_css=False, **options)


def visitor(request: gr.Request) -> str:
    return str(request.session_hash)


def text_of(name: str) -> str:
    """A file of the studio's own."""
    return (files("talewright.studio") / name).read_text(encoding="utf-8")


def in_words(error: Exception) -> str:
    """What a visitor reads of an error; one that is not his goes to the server's log."""
    if isinstance(error, UserError):
        return sentence(str(error))
    traceback.print_exception(error, file=sys.stderr)
    return WENT_WRONG


def sentence(words: str) -> str:
    """An error's words, which stand after a program's name elsewhere, as a sentence of their own."""
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) else ".")


async def follow(desk: Desk, tellings: Sequence[Telling]) -> AsyncGenerator[None, None]:
    """A step whenever there is something new to show, until all are told. A follower who leaves stops them."""
    shown: Any = None
    try:
        while any(telling.running for telling in tellings):
            now = time.monotonic()
            for telling in tellings:
                telling.asked = now
            new = [(telling.state, len(telling.told), desk.place(telling)) for telling in tellings]
            if new != shown:
                shown = new
                yield
            told = any(telling.state == "telling" for telling in tellings)
            await asyncio.sleep(WATCHED if told else QUEUED if any(place for *_, place in new) else WATCHED / 2)
    finally:
        for telling in tellings:
            if telling.running:
                telling.stop()


def words_on(desk: Desk, telling: Telling) -> tuple[str, str]:
    """Where a telling stands, in a sentence, and the kind of sentence (see `showing.status`)."""
    if telling.error:
        return sentence(telling.error), "error"
    if telling.state == "waiting":
        if desk.busy()[0] < desk.seats:
            return "One moment …", "busy"
        return f"Others are being told theirs. Your place in the queue: {desk.place(telling)}.", "busy"
    if telling.state == "opening":
        return "Opening the model …", "busy"
    if telling.state == "telling":
        return " ".join(["Telling …", *telling.notes]), "busy"
    if telling.finished:
        return " ".join([f"The end, after {len(telling.told):,} tokens.", *telling.notes]), ""
    if not telling.told:
        return "Stopped before the first word.", ""
    paused = "Stopped." if telling.stopped else f"Paused after {len(telling.told):,} tokens."
    return " ".join([paused, *telling.notes]), ""
