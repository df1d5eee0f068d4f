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
_TEXT_SHARES = (0.9, 0.1)
_FEWEST_VALID = 5


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
    config: DataConfig, staged: Mapping[SplitName, StagedStories], by_position: bool = False
) -> tuple[dict[SplitName, SplitStories], dict[SplitName, int]]:
    """The stories of each split that has some, and the number of duplicates removed from each input.

    The first of several copies is kept; evaluation stories count as earlier, so that none of them is trained on.
    Stories are assigned by a hash of their text; documents of a plain text by position, so that neighbors stay in one
    split.
    """
    order: list[SplitName] = [name for name in ("valid", "test", "train") if name in staged]
    first = dict(zip(order, first_occurrences([staged[name].digests for name in order]), strict=True))
    shares = evaluation_shares(config, staged, _TEXT_SHARES if by_position else _DEFAULT_SHARES)
    assigned = np.zeros(len(first["train"]), dtype=np.uint8)
    kept = np.flatnonzero(first["train"])
    if by_position:
        assigned[kept] = assign_by_position(staged["train"].sizes[kept], *shares)
    else:
        assigned[kept] = _with_validation(staged["train"].digests[kept], *shares)
    splits: dict[SplitName, SplitStories] = {}
    for number, split in enumerate(SPLITS):
        own = split != "train" and split in staged
        mask = first[split] if own else first["train"] & (assigned == number)
        if mask.any():
            splits[split] = SplitStories(staged[split if own else "train"], np.flatnonzero(mask))
    return splits, {name: int((~first[name]).sum()) for name in order}


def evaluation_shares(
    config: DataConfig, inputs: Collection[SplitName], default: tuple[float, float] = _DEFAULT_SHARES
) -> tuple[float, float]:
    """Shares of the training stories that go to validation and test.

    A split that has an input of its own takes none. By default, validation takes 5% if it has no input (10% of a
    plain text).
    """
    shares = config.splits or (default if "valid" not in inputs else (1.0, 0.0))
    valid, test = (share / sum(shares) for share in (*shares[1:], 0.0)[:2])
    return (0.0 if "valid" in inputs else valid), (0.0 if "test" in inputs else test)


def assign(digests: np.ndarray, valid: float, test: float) -> np.ndarray:
    """Index in SPLITS of each story, (n,) uint8, from its digest (n, 2) and the shares of validation and test.

    Depends only on the text and the shares; a validation story stays one if the share of validation grows.
    """
    uniform = _uniform(digests)
    numbers = np.zeros(len(digests), dtype=np.uint8)
    numbers[uniform >= 1.0 - test] = 2
    numbers[uniform < valid] = 1
    return numbers


def assign_by_position(sizes: np.ndarray, valid: float, test: float) -> np.ndarray:
    """Index in SPLITS of each document, (n,) uint8, from its bytes: training, then validation, then test, in order.

    Training has the first document, and validation at least one if it has a share and there are two.
    """
    ends = np.cumsum(sizes)
    middles = (ends - sizes / 2) / max(1, ends[-1] if len(ends) else 0)
    numbers = np.zeros(len(sizes), dtype=np.uint8)
    numbers[middles >= 1.0 - valid - test] = 1
    numbers[middles >= 1.0 - test] = 2
    numbers[:1] = 0
    if valid and len(sizes) > 1 and not (numbers == 1).any():
        numbers[max(1, np.flatnonzero(numbers == 0)[-1])] = 1
    return numbers


def _with_validation(digests: np.ndarray, valid: float, test: float) -> np.ndarray:
    """`assign`, but a small collection gives a tenth of its stories, five at most and one at least, to validation, and
    one to training: those with the smallest hashes.
    """
    numbers = assign(digests, valid, test)
    if valid and len(digests) > 1:
        order = np.argsort(_uniform(digests), kind="stable")
        fewest = max(1, min(_FEWEST_VALID, len(digests) // 10))
        numbers[order[:fewest]] = 1
        if not (numbers == 0).any():
            numbers[order[-1]] = 0
    return numbers


def _uniform(digests: np.ndarray) -> np.ndarray:
    """A number in [0, 1) from each digest."""
    return (digests[:, 0] >> np.uint64(11)).astype(np.float64) / 2.0**53
