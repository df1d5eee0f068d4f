"""What the studio remembers of one user until the page is closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from talewright.server.scheduler import Generation
from talewright.studio.word_probabilities import WordProbability

MAX_STORIES = 20
MAX_CHARACTERS = 200_000
"""Stories that are kept of one session, and their total length; the oldest are dropped."""


@dataclass(kw_only=True)
class StudioSession:
    """A user's stories. It belongs to one page; other pages never see it."""

    stories: dict[int, Generation] = field(default_factory=dict)
    """By their numbers, counted from 1 in the order of generation."""
    current: int | None = None
    """Number of the story that is shown."""
    by_word: bool = False
    """Whether to show the probability of each word."""
    words: list[WordProbability] | None = None
    """Of the current story, once they are computed."""
    chosen: int | None = None
    """The word whose alternatives are shown."""
    generating: Generation | None = None
    """The story in progress that will be kept."""
    compared: Sequence[Generation] = ()
    """The stories in progress side by side."""
    switched_off: list[str] = field(default_factory=list)
    """Names of the parts of the model that are off in the tab Steer."""
    changing: Generation | None = None
    """The story in progress of a changed model."""
    changed: tuple[Generation, str] | None = None
    """The newest story of a changed model, and the change in words."""
    count: int = 0
    """Stories kept so far, the dropped ones included."""

    def __deepcopy__(self, memo: object) -> StudioSession:
        return StudioSession()  # Gradio copies the page's initial state for each user

    @property
    def story(self) -> Generation | None:
        """The story that is shown."""
        return None if self.current is None else self.stories.get(self.current)

    def keep(self, story: Generation) -> None:
        """Keep a story, if anything was generated, and show it."""
        if not story.label or not story.tokens:
            return
        self.count += 1
        self.stories[self.count] = story
        while len(self.stories) > MAX_STORIES or (
            len(self.stories) > 1 and sum(len(each.text) for each in self.stories.values()) > MAX_CHARACTERS
        ):
            del self.stories[min(self.stories)]
        self.show(self.count)

    def show(self, number: int) -> None:
        """Show the story of that number, if it is still kept."""
        if number in self.stories:
            self.current, self.words, self.chosen, self.changed = number, None, None, None

    def stop(self) -> None:
        """Stop the stories in progress."""
        for generation in (self.generating, self.changing, *self.compared):
            if generation is not None:
                generation.stop()
