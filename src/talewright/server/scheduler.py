"""Generates stories for many users: each model's as one batch, which they join and leave at any time; the other users
wait in a queue.

One thread generates. Whoever submitted a `Generation` polls it; one that is no longer polled was abandoned and leaves.
"""

from __future__ import annotations

import codecs
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

from talewright.errors import UserError
from talewright.generate.batching import ContinuousBatch, Request
from talewright.generate.engine import Engine
from talewright.generate.logprobs import TokenLogprob
from talewright.generate.sampling import Sampling
from talewright.machine import gpu_memory_errors
from talewright.server.registry import LoadedModel, ModelRegistry

logger = logging.getLogger(__name__)

SLOTS = 64
"""Stories generated at once."""
QUEUE = 100
"""Stories that may wait."""
MAX_PER_USER = 2
"""Stories of one user of the studio, running or waiting: one, or two side by side."""
TIMEOUT = 15.0
"""Seconds without a poll after which a story is abandoned."""
MAX_PROMPT = 80_000
"""Characters, or token ids, of a prompt: about 15,000 words."""
INTERNAL_ERROR = "Something went wrong; the server's log has the details. Try again."
State = Literal["waiting", "loading", "generating", "done"]


@dataclass(kw_only=True, eq=False)
class Generation:
    """One story, while it is generated and afterwards. Written by the scheduler, read by the page; there is no lock,
    because each field is replaced as a whole.
    """

    user: str
    choice: str
    """The model, as `ModelRegistry.choices` names it; with its step as soon as it is loaded, since the best checkpoint
    may be another one later."""
    prompt: str
    sampling: Sampling = field(default_factory=Sampling)
    prompt_tokens: list[int] | None = None
    """Set to continue a story; otherwise the prompt is tokenized."""
    tokens: list[int] = field(default_factory=list)
    """Tokens after the prompt. Those that are given at the start are kept and continued."""
    part: int = 0
    """How often this story was continued: each part draws other random numbers."""
    alternatives: int | None = None
    """Set to record the log-probability of each token, and of this many most likely ones."""
    logprobs: list[TokenLogprob] = field(default_factory=list)
    state: State = "waiting"
    stopped: bool = False
    """Whether the user stopped it."""
    finished: bool = False
    """Whether the story came to its end."""
    error: str = ""
    invalid: bool = False
    """Whether the error is a mistake of the request, such as an id that is no token of the model."""
    notes: list[str] = field(default_factory=list)
    label: str = ""
    """The model's name and step, as soon as it is loaded."""
    continuation: str = ""
    """The text of the tokens; an incomplete last character is left out."""
    polled: float = field(default_factory=time.monotonic)
    """When the page last polled it. Infinity: it is never taken as abandoned, and whoever submitted it stops it."""

    @property
    def running(self) -> bool:
        return self.state != "done"

    @property
    def text(self) -> str:
        return self.prompt + self.continuation

    @property
    def abandoned(self) -> bool:
        return self.stopped or time.monotonic() - self.polled > TIMEOUT

    def stop(self) -> None:
        self.stopped = True


class _GenerationSlot:
    """A generation in progress: its model, which may still be loading, and then its request."""

    def __init__(self, generation: Generation, loading: Future[LoadedModel]) -> None:
        self.generation, self.loading = generation, loading
        self.request: Request | None = None
        self._engine: Engine | None = None

    def start(self, loaded: LoadedModel) -> None:
        """Prepare the request."""
        generation, tokenizer = self.generation, loaded.tokenizer
        if generation.prompt_tokens is None:
            generation.prompt_tokens = tokenizer.encode(generation.prompt)
        tokens, generation.tokens = generation.tokens, []
        self._decoder, self._tokenizer = codecs.getincrementaldecoder("utf-8")("replace"), tokenizer
        generation.choice, generation.label, generation.state = loaded.choice, loaded.label, "generating"
        for token in tokens:
            if token in tokenizer.ends:  # the user chose that the story ends here
                generation.finished = True
                return self.finish()
            self._append(token)
        engine = self._engine = Engine(loaded.model, tokenizer, notify=generation.notes.append)
        [prompt] = engine.fitted([[*generation.prompt_tokens, *tokens]])
        self.request = Request(
            prompt=prompt,
            sampling=generation.sampling,
            index=generation.part,
            alternatives=generation.alternatives,
            logprobs=generation.logprobs,
        )
        self._seen = 0

    def collect(self) -> None:
        """Take over what the batch has generated since the last time."""
        request = self.request
        if request is None or not self.generation.running:
            return
        for token in request.tokens[self._seen :]:
            self._append(token)
        self._seen = len(request.tokens)
        if request.windowed and self._engine is not None:
            self._engine.notify_of_window()
            self._engine = None
        if request.done:
            self.generation.finished = request.finished
            self.finish()

    def finish(self) -> None:
        if self.request is not None:
            self.request.stopped = True
        self.generation.state = "done"

    def fail(self, error: Exception) -> None:
        self.generation.error = user_message(error)
        self.finish()

    def _append(self, token: int) -> None:
        first = not self.generation.prompt_tokens and not self.generation.tokens
        self.generation.tokens.append(token)
        self.generation.continuation += self._decoder.decode(self._tokenizer.after_prompt(token, first))


def user_message(error: Exception) -> str:
    """What a user reads of an error. An unexpected one is logged with its traceback."""
    if isinstance(error, UserError):
        return str(error)
    logger.error("Unexpected error", exc_info=error)
    return INTERNAL_ERROR


class BusyError(UserError):
    """Too many texts wait already."""


def _check_length(generation: Generation) -> None:
    for what, prompt in (("characters", generation.prompt), ("token ids", generation.prompt_tokens or ())):
        if len(prompt) > MAX_PROMPT:
            raise UserError(
                f"the prompt has {len(prompt):,} {what}; up to {MAX_PROMPT:,} are accepted here, so shorten it"
            )


class GenerationScheduler:
    """Runs the generations that are submitted, in their order."""

    def __init__(
        self, registry: ModelRegistry, slots: int = SLOTS, queue: int = QUEUE, per_user: int = MAX_PER_USER
    ) -> None:
        self.registry, self.slots, self.queue, self.per_user = registry, slots, queue, per_user
        self._waiting: deque[Generation] = deque()
        self._running: list[_GenerationSlot] = []
        self._batches: dict[str, tuple[LoadedModel, ContinuousBatch]] = {}  # by the model's choice
        self._changed = threading.Condition()
        self._loader = ThreadPoolExecutor(1, "loader")  # so that loading a model pauses nobody's story
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="scheduler", daemon=True)
        self._thread.start()

    def submit(self, generation: Generation) -> Generation:
        """Put a generation into the queue. Raises UserError if the queue is full, or the request cannot be served."""
        self.submit_all([generation])
        return generation

    def submit_all(self, generations: Sequence[Generation]) -> None:
        """Put all generations of one user into the queue, or none of them. Raises UserError as `submit` does."""
        for generation in generations:
            _check_length(generation)
            self.registry.check(generation.choice)
        places = self.slots + self.queue
        if len(generations) > places:
            raise UserError(f"{len(generations)} texts are asked for at once; up to {places} are accepted here")
        with self._changed:
            user = generations[0].user
            own = [each for each in self._all() if each.user == user and not each.stopped]
            if len(own) + len(generations) > self.per_user:
                raise UserError("your last story is still being generated; stop it first, or wait until it ends")
            if len(self._all()) + len(generations) > places:
                raise BusyError("too many users are waiting for a story; try again in a minute")
            self._waiting.extend(generations)
            self._changed.notify()

    def position(self, generation: Generation) -> int:
        """Its position in the queue, from 1; 0 if it is not waiting."""
        with self._changed:
            return next((i for i, each in enumerate(self._waiting, 1) if each is generation), 0)

    def leave(self, user: str) -> None:
        """Stop the stories of a user who closed the page."""
        with self._changed:
            for generation in self._all():
                if generation.user == user:
                    generation.stop()

    def counts(self) -> tuple[int, int]:
        """Number of stories running, and waiting."""
        with self._changed:
            return len(self._running), len(self._waiting)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(10)
        self._loader.shutdown(cancel_futures=True)

    def _all(self) -> list[Generation]:
        return [*(slot.generation for slot in self._running), *self._waiting]

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._running or self._waiting or self._closed):
                    self._changed.wait()
                if self._closed:
                    return
                self._fill_slots()
                running = list(self._running)
            for slot in running:
                self._advance(slot)
            self._step(running)
            for slot in running:
                slot.collect()
            with self._changed:
                self._running = [slot for slot in self._running if slot.generation.running]
            if not self._batches:
                time.sleep(0.005)  # all are loading their models

    def _advance(self, slot: _GenerationSlot) -> None:
        """Start a generation whose model is loaded; stop one that was abandoned."""
        if slot.generation.abandoned:
            return slot.finish()
        if slot.request is not None or not slot.loading.done():
            return
        try:
            loaded = slot.loading.result()
        except Exception as error:
            return slot.fail(error)
        try:
            slot.start(loaded)
            if slot.request is not None:
                if loaded.choice not in self._batches:
                    engine = Engine(loaded.model, loaded.tokenizer, draft=loaded.draft)
                    self._batches[loaded.choice] = loaded, engine.batch()
                self._batches[loaded.choice][1].add(slot.request)
        except Exception as error:
            slot.generation.invalid = isinstance(error, UserError)
            slot.fail(error)

    def _step(self, running: list[_GenerationSlot]) -> None:
        """Generate one token of every story. What fails ends the stories of that model."""
        for choice, (loaded, batch) in list(self._batches.items()):
            try:
                with gpu_memory_errors(loaded.model.output_weight.device):
                    batch.step()
            except Exception as error:
                for slot in running:
                    if slot.request is not None and slot.generation.choice == choice and slot.generation.running:
                        slot.fail(error)
                del self._batches[choice]
            else:
                if not batch.busy:
                    del self._batches[choice]

    def _fill_slots(self) -> None:
        """Drop abandoned generations from the queue, then fill the free slots from it."""
        for generation in [each for each in self._waiting if each.abandoned]:
            self._waiting.remove(generation)
            generation.state = "done"
        while self._waiting and len(self._running) < self.slots:
            generation = self._waiting.popleft()
            generation.state = "loading"
            loading = self._loader.submit(self.registry.load, generation.choice)
            self._running.append(_GenerationSlot(generation, loading))
