"""What the tabs share: the registry and the scheduler, the sampling controls, and how a generation is followed."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, TypeVar

import gradio as gr

from talewright.errors import UserError
from talewright.generate.sampling import Sampling
from talewright.inspect.report import page as report
from talewright.machine import gpu_memory_errors
from talewright.server.registry import ModelRegistry
from talewright.server.scheduler import Generation, GenerationScheduler, user_message

RUNNING, QUEUED = 0.12, 0.5
"""Seconds between two polls of a story that is generated, and of one that waits."""
UPDATES = 30.0
"""Updates per second of all users' pages together: each takes the server some milliseconds, in which it generates
nothing."""
SEEDS = 1_000_000
"""A new seed is below this number, so that it can be read and typed."""
BETTER = "Fewer bits per byte are better."
QUIET: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None, "api_visibility": "private"}
"""Options of every event but generation: no progress overlay, no waiting for other events, no public API name."""
CHARTS_PATH = "/look/charts.js"
CHARTS = f'<script src=".{CHARTS_PATH}"></script>'
"""Loads what draws charts, once it is needed: it is larger than the rest of the page."""
DRAW = "watch('value', () => drawCharts(element)); drawCharts(element);"
"""The script of a component whose HTML holds charts."""
T = TypeVar("T")


@dataclass(kw_only=True)
class Studio:
    """What all users share."""

    registry: ModelRegistry
    scheduler: GenerationScheduler
    worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "inspection"))
    """Inspects stories and draws figures, one at a time, so that memory stays bounded."""
    writer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "changed"))
    """Writes stories with changed models, one at a time."""

    async def compute(self, function: Callable[..., T], *values: Any) -> T:
        with gpu_memory_errors(self.registry.device):
            return await asyncio.get_running_loop().run_in_executor(self.worker, function, *values)

    def write(self, function: Callable[..., T], *values: Any) -> Future[T]:
        """Write a story in the background."""
        return self.writer.submit(function, *values)

    def close(self) -> None:
        self.scheduler.close()
        self.writer.shutdown(wait=False, cancel_futures=True)
        self.worker.shutdown(cancel_futures=True)


def sampling_controls() -> list[Any]:
    """The controls, in the order of `sampling_of`; on the page, those that are used most come first."""
    s = Sampling
    plain: dict[str, Any] = {"buttons": []}  # no button that resets, which nothing names
    new_tokens = gr.Slider(
        20, 2048, s.max_new_tokens, step=1, label="Length", info="Tokens after which a story pauses.", **plain
    )
    temperature = gr.Slider(
        0.1, 1.5, s.temperature, step=0.1, label="Temperature", info="Lower: more predictable.", **plain
    )
    with gr.Accordion("More settings", open=False, elem_classes="more"):
        nucleus = "Only the most probable tokens that together reach this probability."
        top_p = gr.Slider(0.05, 1.0, s.top_p, step=0.05, label="Top-p", info=nucleus, **plain)
        top_k = gr.Slider(
            0, 200, s.top_k or 0, step=1, label="Top-k", info="Only this many of the most probable; 0: all.", **plain
        )
        repeat = "Above 1, the model repeats itself less."
        penalty = gr.Slider(1.0, 2.0, s.repetition_penalty, step=0.05, label="Repetition penalty", info=repeat, **plain)
        same = "The same seed gives the same story; empty: a new one each time."
        seed = gr.Textbox("", label="Seed", info=same, elem_classes="seed")  # a gr.Number cannot stay empty: it sends 0
    return [temperature, new_tokens, top_k, top_p, penalty, seed]


def start_button(name: str, running: bool) -> gr.Button:
    """The update of a button that starts something, and says Stop while it runs."""
    return gr.Button("Stop", variant="stop") if running else gr.Button(name, variant="primary")


def model_summary(studio: Studio, choice: str) -> str:
    """The model in a line, also if it is gone."""
    try:
        return studio.registry.summary(choice)
    except (KeyError, OSError):
        return choice


def new_seed() -> int:
    return secrets.randbelow(SEEDS)


def sampling_of(values: Sequence[Any], seed: int | None = None) -> Sampling:
    """The settings; if their seed is empty, with `seed`, or else a new one.

    Raises UserError if a value is out of range.
    """
    temperature, new_tokens, top_k, top_p, penalty = (value or 0 for value in values[:-1])
    typed = "" if values[-1] is None else str(values[-1]).strip()
    if typed and not typed.isdecimal():
        raise UserError(f"the seed is {typed[:40]!r}; it must be a whole number, 0 or more, or empty for a new one")
    if typed:
        seed = int(typed)
    return Sampling(
        temperature=float(temperature),
        max_new_tokens=int(new_tokens),
        top_k=int(top_k) or None,
        top_p=float(top_p),
        repetition_penalty=float(penalty),
        seed=new_seed() if seed is None else seed,
    )


def html(value: Any, **options: Any) -> Any:
    """HTML in the page's own style; the value is HTML, or what the template and the script make of it."""
    return gr.HTML(value, apply_default_css=False, **options)


def user_of(request: gr.Request) -> str:
    return str(request.session_hash)


def read_asset(name: str) -> str:
    return (files("talewright.studio") / name).read_text(encoding="utf-8")


def view_script(name: str) -> str:
    """A script of the studio, after the helpers of the report's views (bars, heading, choosable ...)."""
    return f"{report.view_script()}\n{read_asset(name)}"


def error_sentence(error: Exception | str) -> str:
    """An error as a sentence for the page."""
    message = error if isinstance(error, str) else user_message(error)
    return message[:1].upper() + message[1:] + ("" if message.endswith((".", "!", "?")) else ".")


def poll(generation: Generation) -> None:
    """Say that the page still wants it."""
    generation.polled = time.monotonic()


async def follow(scheduler: GenerationScheduler, generations: Sequence[Generation]) -> AsyncGenerator[None, None]:
    """Yields whenever there is something new to show, until all are done. They are stopped if the follower leaves."""
    shown: Any = None
    try:
        while any(each.running for each in generations):
            for each in generations:
                poll(each)
            positions = [scheduler.position(each) for each in generations]
            new = [(each.state, len(each.tokens), place) for each, place in zip(generations, positions, strict=True)]
            if new != shown:
                shown = new
                yield
            if any(each.tokens for each in generations):
                await asyncio.sleep(max(RUNNING, scheduler.counts()[0] / UPDATES))
            else:
                await asyncio.sleep(QUEUED if any(positions) else RUNNING / 2)
    finally:
        for each in generations:
            if each.running:
                each.stop()


async def follow_all(scheduler: GenerationScheduler, generations: Sequence[Generation]) -> AsyncGenerator[None, None]:
    """Submit all of a user's generations, as many at once as one user may have, and `follow` them. One that cannot be
    submitted is done, with its error; those that were stopped before their turn are done too.
    """
    waiting = [each for each in generations if each.running]
    while waiting:
        group, waiting = waiting[: scheduler.per_user], waiting[scheduler.per_user :]
        for each in group:
            _submit(scheduler, each)
        async for _ in follow(scheduler, group):
            yield
        if any(each.stopped for each in generations):
            for each in waiting:
                each.state, each.stopped = "done", True
            return


def _submit(scheduler: GenerationScheduler, generation: Generation) -> None:
    try:
        scheduler.submit(generation)
    except Exception as error:
        generation.error, generation.state = error_sentence(error), "done"


def progress_of(scheduler: GenerationScheduler, generation: Generation) -> tuple[str, str]:
    """The state of a generation in a sentence, and the kind of sentence (see `rendering.status`)."""
    notes = map(error_sentence, generation.notes)
    if generation.error:
        return error_sentence(generation.error), "error"
    if generation.state == "waiting":
        position = scheduler.position(generation)
        if not position or scheduler.counts()[0] < scheduler.slots:
            return "One moment …", "busy"
        return f"Other users' stories come first. Your position in the queue: {position}.", "busy"
    if generation.state == "loading":
        return "Loading the model …", "busy"
    if generation.state == "generating":
        return " ".join(["Writing …", *notes]), "busy"
    if not generation.tokens:
        ended = "The model ended the story at once; there is nothing to keep."
        return ended if generation.finished else "Stopped before the first word.", ""
    number = f"after {len(generation.tokens):,} tokens"
    end = "The end" if generation.finished else "Stopped" if generation.stopped else "Paused"
    return " ".join([f"{end}, {number}. Seed {generation.sampling.seed}.", *notes]), ""
