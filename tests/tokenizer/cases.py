"""Stories and texts to test tokenizers with, and a plain BPE to compare them with."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import strategies as st

from talewright.config import EOT
from talewright.tokenizer.base import Merges

TEXT = (
    "the a little fox hen bear found lost was ran to her his garden river hill and but then happily honey "
    "carried shared red blue tiny enormous basket lantern whispered laughed together friends again"
)
WORDS = TEXT.split()


def made_up_stories(number: int = 300, seed: int = 0) -> list[str]:
    """`number` stories without a plot, the same for the same seed."""
    rng = random.Random(seed)
    return [_made_up_story(rng) for _ in range(number)]


def _made_up_story(rng: random.Random) -> str:
    sentences = [" ".join(rng.choices(WORDS, k=rng.randint(3, 9))).capitalize() for _ in range(rng.randint(2, 6))]
    return ". ".join(sentences) + rng.choice([".", "!", ' "Oh," said the café owner. 🐻', "\n\nThe end."])


def story_texts() -> st.SearchStrategy[str]:
    """Any text, and text nearer to stories: words, white space, the spelling of the end of text."""
    ours = st.sampled_from([*WORDS, EOT, "<|", " ", "  ", "\n", "\r\n", "'s", "é", "e\u0301", "🐻"])
    pieces = st.one_of(ours, st.text(max_size=8))
    return st.one_of(st.text(), st.lists(pieces, max_size=12).map("".join), st.lists(pieces, max_size=12).map(" ".join))


def plain_bpe(letters: str, bpe: Merges) -> list[int]:
    """Ids of a word in byte letters, by the definition: merge the first pair of lowest rank until none is left."""
    ranks = {pair: rank for rank, pair in enumerate(bpe.merges)}
    parts = list(letters)
    while True:
        known = [(ranks[pair], place) for place, pair in enumerate(pairwise(parts)) if pair in ranks]
        if not known:
            return [bpe.vocab[part] for part in parts]
        place = min(known)[1]
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
