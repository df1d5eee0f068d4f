"""The bundled corpus: short stories from a grammar, so that the first training run needs no download.

The grammar limits what a model can learn from them; for real training, use TinyStories.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from talewright.data.bundled.grammar import Plot, Story, Template

FILES = ("words", "home", "outdoors", "friends", "town", "animals", "tales", "short")
"""The text files in `stories/`; their order is part of what a seed gives."""

WORDS = (60, 250)
"""The fewest and the most words of a story."""


@cache
def _material() -> tuple[list[Plot], dict[str, Template]]:
    """The plots, and the phrases that they share; read when the first story is drawn."""
    from talewright.data.bundled.reading import StoryReader

    reader = StoryReader()
    for name in FILES:
        file = resources.files(__name__) / "stories" / f"{name}.txt"
        reader.read(str(file), file.read_text(encoding="utf-8"))
    return reader.plots, reader.phrases


def story(seed: int, index: int, attempt: int = 0) -> Story:
    """Story `index` of `seed` with its plot and cast; `attempt` counts the redraws of a story that was rejected."""
    from talewright.data.bundled.grammar import draws

    plots, phrases = _material()
    draw = draws(seed, index, attempt)
    return plots[int(draw() * len(plots))].write(draw, phrases)


def stories(count: int, seed: int = 0) -> Iterator[str]:
    """`count` stories of 60 to 250 words, no two of them equal, each a function of `seed` and its index.

    A story that is too short or too long, or that equals an earlier one of this call, is drawn again; only the latter
    makes a story depend on those before it. Of each story, 8 bytes of its hash are kept to detect that.
    """
    seen: set[bytes] = set()
    for index in range(count):
        drawn = (story(seed, index, attempt).text for attempt in itertools.count())
        text = next(text for text in drawn if _fits(text) and _key(text) not in seen)
        seen.add(_key(text))
        yield text


def _fits(text: str) -> bool:
    return WORDS[0] <= len(text.split()) <= WORDS[1]


def _key(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest()


def __getattr__(name: str) -> tuple[str, ...]:
    """`PLOTS`: the names of the plots, read when they are first used."""
    if name == "PLOTS":
        return tuple(plot.name for plot in _material()[0])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
