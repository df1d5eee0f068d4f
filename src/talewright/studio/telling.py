"""The desk at which stories are told: a few at a time, a token of each in turn, the other visitors in a queue.

One thread tells. A visitor's page asks for its `Telling` again and again; one that nobody asks for any more is taken
to have been left, and gives its seat to the next.
"""

from __future__ import annotations

import codecs
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

from talewright.errors import UserError
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.studio.library import STEP, Library, Opened

SEATS = 4
"""Stories told at once."""
QUEUE = 100
"""Stories that may wait."""
MOST = 2
"""Stories of one visitor, told or waiting: one, or two side by side."""
LEFT = 15.0
"""Seconds after which a story that nobody asks for has been left."""
LONGEST = 80_000
"""Letters that a beginning may have: some 15,000 words."""
WENT_WRONG = "Something went wrong in the studio; its own log says what. Try again."
State = Literal["waiting", "opening", "telling", "done"]


@dataclass(kw_only=True, eq=False)
class Telling:
    """One story while it is told. Written by the desk, read by the page; both hold no lock: each field is set whole."""

    visitor: str
    choice: str
    """Who tells, as `Library.choices` spells it."""
    text: str
    """The beginning."""
    sampling: Sampling = field(default_factory=Sampling)
    given: list[int] | None = None
    """The beginning in tokens, where it is a told story that goes on; else it is made of the text."""
    told: list[int] = field(default_factory=list)
    """Tokens after the beginning; those that stand here at first are kept, and gone on from."""
    part: int = 0
    """How often this story was gone on with: each part draws other numbers."""
    state: State = "waiting"
    stopped: bool = False
    """Whether the visitor has had enough."""
    finished: bool = False
    """Whether the story came to its end."""
    error: str = ""
    notes: list[str] = field(default_factory=list)
    opened: Opened | None = None
    asked: float = field(default_factory=time.monotonic)
    """When the page last asked for it."""

    @property
    def running(self) -> bool:
        return self.state != "done"

    @property
    def continuation(self) -> str:
        """What was told so far, as the engine tells it: a last character that is not whole is left out."""
        if self.opened is None:
            return ""
        table = self.opened.tokenizer.token_bytes
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return decoder.decode(b"".join(table[token] for token in list(self.told)))

    def stop(self) -> None:
        self.stopped = True


@dataclass(kw_only=True)
class _Seat:
    """A telling and what it is waiting for: its model, then its next token."""

    telling: Telling
    opening: Future[Opened]
    tokens: Generator[int, None, bool] | None = None


class Desk:
    """Tells the stories that are asked for, in the order in which they were."""

    def __init__(self, library: Library, seats: int = SEATS, queue: int = QUEUE) -> None:
        self.library, self.seats, self.room = library, seats, queue
        self._waiting: deque[Telling] = deque()
        self._seated: list[_Seat] = []
        self._changed = threading.Condition()
        self._opener = ThreadPoolExecutor(1, "opener")  # so that a model's loading stops nobody's story
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="desk", daemon=True)
        self._thread.start()

    def ask(self, telling: Telling) -> Telling:
        """Put a story into the queue. Raises UserError where there is no room, or it cannot be told."""
        if len(telling.text) > LONGEST:
            raise UserError(
                f"the beginning has {len(telling.text):,} letters; up to {LONGEST:,} are taken here, so shorten it"
            )
        self.library.folder(telling.choice.partition(STEP)[0])
        with self._changed:
            own = [each for each in self._everyone() if each.visitor == telling.visitor and not each.stopped]
            if len(own) >= MOST:
                raise UserError("your last story is still being told; stop it first, or wait for its end")
            if len(self._waiting) >= self.room:
                raise UserError("very many visitors are waiting for a story just now; try again in a minute")
            self._waiting.append(telling)
            self._changed.notify()
        return telling

    def place(self, telling: Telling) -> int:
        """How many stories come before this one: 0 where it is being told."""
        with self._changed:
            return next((i for i, each in enumerate(self._waiting, 1) if each is telling), 0)

    def leave(self, visitor: str) -> None:
        """A visitor has gone: his stories stop."""
        with self._changed:
            for telling in self._everyone():
                if telling.visitor == visitor:
                    telling.stop()

    def busy(self) -> tuple[int, int]:
        """Stories told now, and waiting."""
        with self._changed:
            return len(self._seated), len(self._waiting)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(10)
        self._opener.shutdown(cancel_futures=True)

    def _everyone(self) -> list[Telling]:
        return [*(seat.telling for seat in self._seated), *self._waiting]

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._seated or self._waiting or self._closed):
                    self._changed.wait()
                if self._closed:
                    return
                self._seat_the_next()
                seated = list(self._seated)
            moved = [self._turn(seat) for seat in seated]
            with self._changed:
                self._seated = [seat for seat in self._seated if seat.telling.running]
            if not any(moved):
                time.sleep(0.005)  # all wait for their models

    def _seat_the_next(self) -> None:
        """Free the places of those who left the queue, then fill the free seats."""
        for telling in [each for each in self._waiting if _left(each)]:
            self._waiting.remove(telling)
            telling.state = "done"
        while self._waiting and len(self._seated) < self.seats:
            telling = self._waiting.popleft()
            telling.state = "opening"
            self._seated.append(_Seat(telling=telling, opening=self._opener.submit(self.library.open, telling.choice)))

    def _turn(self, seat: _Seat) -> bool:
        """One more token of a story; whether there was anything to do."""
        telling = seat.telling
        try:
            if _left(telling):
                return _finish(seat)
            if seat.tokens is None:
                if not seat.opening.done():
                    return False
                seat.tokens = _begin(telling, seat.opening.result())
                return _finish(seat) if telling.finished else True
            telling.told.append(next(seat.tokens))
        except StopIteration as end:
            telling.finished = bool(end.value)
            return _finish(seat)
        except UserError as error:
            telling.error = str(error)
            return _finish(seat)
        except Exception:
            traceback.print_exc(file=sys.stderr)
            telling.error = WENT_WRONG
            return _finish(seat)
        return True


def _begin(telling: Telling, opened: Opened) -> Generator[int, None, bool]:
    engine = Engine(opened.model, opened.tokenizer, notify=telling.notes.append)
    if telling.given is None:
        telling.given = opened.tokenizer.encode(telling.text)
    if telling.told[-1:] == [opened.tokenizer.eos_id]:  # it was chosen that the story ends here
        telling.told.pop()
        telling.finished = True
    telling.opened, telling.state = opened, "telling"
    return engine.stream_tokens([*telling.given, *telling.told], telling.sampling, telling.part)


def _finish(seat: _Seat) -> bool:
    if seat.tokens is not None:
        seat.tokens.close()
    seat.telling.state = "done"
    return True


def _left(telling: Telling) -> bool:
    return telling.stopped or time.monotonic() - telling.asked > LEFT
