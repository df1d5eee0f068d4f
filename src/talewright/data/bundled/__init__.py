"""The bundled corpus: short stories that a grammar makes, so that the first training run needs no download.

They are there for the start. What a model can learn from them is bounded by the grammar; TinyStories is the real thing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from talewright.data.bundled.grammar import Plot, Template, Told

WORDS = (60, 250)
"""The fewest and the most words of a story."""


@cache
def _material() -> tuple[tuple[Plot, ...], dict[str, Template]]:
    """The plots, and the phrases that they share, ready to be told; read when the first story is asked for."""
    from talewright.data.bundled.grammar import parse
    from talewright.data.bundled.plots import ALL
    from talewright.data.bundled.words import PHRASES

    return ALL, {name: parse(text) for name, text in PHRASES.items()}


def told(seed: int, index: int, attempt: int = 0) -> Told:
    """Story `index` of `seed` with its plot and cast; `attempt` counts the redraws of a story that was not wanted."""
    from talewright.data.bundled.grammar import draws

    plots, phrases = _material()
    draw = draws(seed, index, attempt)
    return plots[int(draw() * len(plots))].tell(draw, phrases)


def stories(count: int, seed: int = 0) -> Iterator[str]:
    """`count` stories of 60 to 250 words, no two of them equal, each a function of `seed` and its index.

    A story that is too short or long, or that an earlier one of this call equals, is drawn anew; the latter alone makes
    a story depend on those before it. What is kept to know that is 8 bytes of hash a story.
    """
    seen: set[bytes] = set()
    for index in range(count):
        drawn = (told(seed, index, attempt).text for attempt in itertools.count())
        text = next(text for text in drawn if _fits(text) and _key(text) not in seen)
        seen.add(_key(text))
        yield text


def _fits(text: str) -> bool:
    return WORDS[0] <= len(text.split()) <= WORDS[1]


def _key(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest()


def __getattr__(name: str) -> tuple[str, ...]:
    """`PLOTS`: the names of the plots, read only when asked for."""
    if name == "PLOTS":
        return tuple(plot.name for plot in _material()[0])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
