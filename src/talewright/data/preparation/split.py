"""Which stories each split gets: without duplicates, and by a hash of the text, so that none ever changes split."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from talewright.config import DataConfig
from talewright.data.layout import SPLITS, SplitName
from talewright.data.preparation.deduplicate import first_occurrences
from talewright.data.preparation.staging import StagedStories

_DEFAULT_SHARES = (0.95, 0.05)


@dataclass(frozen=True)
class SplitStories:
    """The stories of one split: where they are staged, and their indices there, ascending."""

    staged: StagedStories
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def sizes(self) -> np.ndarray:
        """Bytes of each story's text."""
        return self.staged.sizes[self.indices]

    @property
    def n_bytes(self) -> int:
        return int(self.sizes.sum())

    def read(self, every: int = 1) -> Iterator[str]:
        """The stories, or every n-th one."""
        return self.staged.read(self.indices[::every])


def split_stories(
    config: DataConfig, staged: Mapping[SplitName, StagedStories]
) -> tuple[dict[SplitName, SplitStories], dict[SplitName, int]]:
    """The stories of each split that has some, and the number of duplicates removed from each input.

    The first of several copies is kept; evaluation stories count as earlier, so that none of them is trained on.
    """
    order: list[SplitName] = [name for name in ("valid", "test", "train") if name in staged]
    first = dict(zip(order, first_occurrences([staged[name].digests for name in order]), strict=True))
    assigned = assign(staged["train"].digests, *evaluation_shares(config, staged))
    splits: dict[SplitName, SplitStories] = {}
    for number, split in enumerate(SPLITS):
        own = split != "train" and split in staged
        mask = first[split] if own else first["train"] & (assigned == number)
        if mask.any():
            splits[split] = SplitStories(staged[split if own else "train"], np.flatnonzero(mask))
    return splits, {name: int((~first[name]).sum()) for name in order}


def evaluation_shares(config: DataConfig, inputs: Collection[SplitName]) -> tuple[float, float]:
    """Shares of the training stories that go to validation and test.

    A split that has an input of its own takes none. By default, validation takes 5% if it has no input.
    """
    shares = config.splits or (_DEFAULT_SHARES if "valid" not in inputs else (1.0, 0.0))
    valid, test = (share / sum(shares) for share in (*shares[1:], 0.0)[:2])
    return (0.0 if "valid" in inputs else valid), (0.0 if "test" in inputs else test)


def assign(digests: np.ndarray, valid: float, test: float) -> np.ndarray:
    """Index in SPLITS of each story, (n,) uint8, from its digest (n, 2) and the shares of validation and test.

    Depends only on the text and the shares; a validation story stays one if the share of validation grows.
    """
    uniform = (digests[:, 0] >> np.uint64(11)).astype(np.float64) / 2.0**53  # in [0, 1)
    numbers = np.zeros(len(digests), dtype=np.uint8)
    numbers[uniform >= 1.0 - test] = 2
    numbers[uniform < valid] = 1
    return numbers
