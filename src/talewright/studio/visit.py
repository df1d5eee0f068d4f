"""What the studio remembers of one visitor until he leaves: his stories, and which of them he looks at."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from talewright.generate.sampling import Sampling
from talewright.studio.telling import Telling
from talewright.studio.words import Word

STORIES = 20
"""Stories that are kept of one visit, and how many letters they may have together; the oldest go."""
LETTERS = 200_000


@dataclass(frozen=True, kw_only=True)
class Told:
    """A story that was told, with all that is needed to go on from any word of it."""

    number: int
    """Of the visit's stories, from 1."""
    choice: str
    """Who told it, as `Library.choices` spells it; of a step, since the best may be another one later."""
    about: str
    text: str
    """Its beginning."""
    continuation: str
    given: list[int]
    told: list[int]
    part: int
    sampling: Sampling
    finished: bool
    notes: list[str]

    @property
    def whole(self) -> str:
        return self.text + self.continuation


@dataclass(kw_only=True)
class Visit:
    """A visitor's stories. Belongs to one page; nothing of it is seen by another."""

    stories: list[Told] = field(default_factory=list)
    """The newest last."""
    current: Told | None = None
    by_word: bool = False
    """Whether he wants to see each word's probability."""
    words: list[Word] | None = None
    """Of the current story, where they were asked for."""
    chosen: int | None = None
    """The word of which the alternatives are shown."""
    telling: Telling | None = None
    """What is told for him, to be kept."""
    compared: list[Telling] = field(default_factory=list)
    """What is told for him side by side."""
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __deepcopy__(self, memo: object) -> Visit:
        return Visit()  # the page's pattern, of which each visitor gets his own

    def keep(self, telling: Telling) -> Told | None:
        """Keep what was told, and look at it; None where nothing was."""
        if telling.opened is None or telling.given is None or not (telling.told or telling.finished):
            return None
        told = Told(
            number=next(self.numbers),
            choice=telling.opened.choice,
            about=telling.opened.about,
            text=telling.text,
            continuation=telling.continuation,
            given=telling.given,
            told=list(telling.told),
            part=telling.part,
            sampling=telling.sampling,
            finished=telling.finished,
            notes=list(telling.notes),
        )
        self.stories.append(told)
        while len(self.stories) > STORIES or (
            len(self.stories) > 1 and sum(len(story.whole) for story in self.stories) > LETTERS
        ):
            self.stories.pop(0)
        self.look_at(told)
        return told

    def look_at(self, story: Told | None) -> None:
        self.current, self.words, self.chosen = story, None, None

    def find(self, number: object) -> Told | None:
        return next((story for story in self.stories if story.number == number), None)

    @property
    def busy(self) -> bool:
        """Whether a story that will be kept is being told."""
        return self.telling is not None

    def stop(self) -> None:
        for telling in (self.telling, *self.compared):
            if telling is not None:
                telling.stop()

    def forget(self, *tellings: Telling) -> None:
        """These are over: each holds the model that told it, which is not to stay open for a visitor who only reads."""
        if self.telling in tellings:
            self.telling = None
        self.compared = [each for each in self.compared if each not in tellings]
