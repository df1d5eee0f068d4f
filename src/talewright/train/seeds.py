"""Seeds derived from the run's seed: dropout and samples are functions of (seed, step), as the data order is."""

from __future__ import annotations

from hashlib import blake2b


def derived_seed(*numbers: int) -> int:
    """A seed that is a function of these numbers, unlike the seeds of their neighbors."""
    return int.from_bytes(blake2b(repr(numbers).encode(), digest_size=8).digest(), "little") >> 1
