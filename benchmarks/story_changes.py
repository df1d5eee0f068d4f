"""Ideas about the stories: in which order, cut where, and with which names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from talewright.config import Recipe


@cache
def training_tokens(recipe: Recipe) -> np.ndarray:
    from talewright.data import open_corpus

    split = open_corpus(recipe).split("train")
    tokens = np.zeros(split.n_tokens, dtype=np.int64)
    split.read_into(tokens, 0)
    return tokens


def finish_on_v2(recipe: Recipe) -> None:
    """The last third of the steps without the stories of TinyStories' first version: the last 8,800 of train.txt, which
    comes after train-more.txt.
    """
    from talewright.data.batches import Batches

    plain = Batches._permutation
    steps = recipe.train.max_steps or 1

    def permutation(self: Any, epoch: int) -> np.ndarray:
        order = plain(self, epoch)
        late = int(0.65 * steps * recipe.train.micro_batch * recipe.train.accumulation)
        begin = max(0, late - epoch * self.samples_per_epoch)
        new = np.asarray(self.first_stories)[order] < self.split.n_stories - 8800
        rest = order[begin:]
        return np.concatenate([order[:begin], rest[new[begin:]], rest[~new[begin:]]])

    Batches._permutation = permutation


GIRLS = "Lily Mia Lucy Sue Sara Anna Amy Jane Emma Sally Molly Daisy Jill Sarah Mary Lisa Kitty Bella"
BOYS = "Tim Tom Ben Max Timmy Tommy Jack Sam Bob Billy Bobby Joe Mark Spot John Leo Jim Fred"


def new_epochs(cuts: bool, names: bool) -> Callable[[Recipe], None]:
    """After the first epoch, stories follow each other in a new order, so that windows are cut elsewhere; or each story
    has other names.
    """

    def change(recipe: Recipe) -> None:
        from talewright.data import open_corpus
        from talewright.data.batches import Batches

        tokenizer, plain_row, plain_bounds = open_corpus(recipe).tokenizer, Batches._read_row, Batches._bounds
        groups = [name_tokens(tokenizer, GIRLS), name_tokens(tokenizer, BOYS)]
        made: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        far = 1 << 40  # a sample's number also says its epoch

        def stream(self: Any, epoch: int) -> tuple[np.ndarray, np.ndarray]:
            """The tokens of an epoch, and where its windows begin."""
            if epoch not in made:
                made.clear()
                tokens, rng = training_tokens(recipe), np.random.default_rng((self.seed, epoch, 1))
                starts = np.append(np.asarray(self.split.starts), len(tokens))
                stories = [tokens[a:b] for a, b in pairwise(starts)]
                if names:
                    stories = [renamed(story, groups, rng, tokenizer) for story in stories]
                if cuts:
                    stories = [stories[i] for i in rng.permutation(len(stories))]
                lengths = np.cumsum([0, *map(len, stories)])
                begins, T = [0], self.context_length
                while lengths[-1] - begins[-1] > T:
                    cut = int(np.searchsorted(lengths, begins[-1] + T, "right")) - 1
                    begins.append(int(lengths[max(cut, int(np.searchsorted(lengths, begins[-1], "right")))]))
                made[epoch] = np.concatenate(stories), np.asarray(begins)
            return made[epoch]

        def sample(self: Any, index: int) -> int:
            epoch, position = divmod(index, self.samples_per_epoch)
            return int(self._order(epoch)[position]) + epoch * far

        def bounds(self: Any, number: int) -> tuple[int, int]:
            if number < far or self.split.name != "train":
                return plain_bounds(self, number)
            tokens, begins = stream(self, number // far)
            start = int(begins[number % far % len(begins)])
            return start, min(len(tokens), start + self.context_length)

        def read_row(self: Any, number: int, inputs: np.ndarray, targets: np.ndarray) -> None:
            if number < far or self.split.name != "train":
                return plain_row(self, number, inputs, targets)
            start, stop = bounds(self, number)
            targets[: stop - start] = stream(self, number // far)[0][start:stop]
            inputs[1 : stop - start] = targets[: stop - start - 1]
            return None

        def count(self: Any, first: int, count: int) -> int:
            total = 0
            for index in range(first, first + count):
                start, stop = bounds(self, sample(self, index))
                total += stop - start
            return total

        Batches._sample, Batches._bounds, Batches._read_row, Batches.count_tokens = sample, bounds, read_row, count

    return change


def name_tokens(tokenizer: Any, names: str) -> list[tuple[int, int]]:
    """Ids of each name that is one token within a line and one at its beginning."""
    pairs = [(tokenizer.encode(f" {name}"), tokenizer.encode(name)) for name in names.split()]
    return [(inside[0], first[0]) for inside, first in pairs if len(inside) == len(first) == 1]


def renamed(story: np.ndarray, groups: Sequence[Sequence[tuple[int, int]]], rng: Any, tokenizer: Any) -> np.ndarray:
    """A story with the names of each group exchanged at random."""
    table = np.arange(tokenizer.vocab_size)
    for group in groups:
        for old, new in zip(group, rng.permutation(len(group)), strict=True):
            table[list(old)] = group[new]
    return table[story]
