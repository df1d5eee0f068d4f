"""Seeds derived from a run's own: dropout and sample stories are functions of (seed, step), as the data's order is."""

from __future__ import annotations

from hashlib import blake2b


def derived_seed(*numbers: int) -> int:
    """A seed that is a function of these numbers, unlike those of their neighbours."""
    return int.from_bytes(blake2b(repr(numbers).encode(), digest_size=8).digest(), "little") >> 1
