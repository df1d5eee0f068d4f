"""Several faults of a file in one report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from talewright.errors import UserError

MOST_FAULTS = 100
MOST_LINES = 200_000
"""How far a file is examined after its first fault."""
_NAMED = 3


def stories_without_faults(results: Iterable[tuple[int, str | UserError]], unit: str) -> Iterator[str]:
    """The stories of a file's lines, rows or items, each with its number.

    Raises UserError if one of them has a fault; the message tells where the next faults are.
    """
    first: UserError | None = None
    places: list[int] = []
    complete = True
    try:
        for place, result in results:
            if isinstance(result, str):
                if first is None:
                    yield result
            else:
                first = first or result
                places.append(place)
            if first and (len(places) >= MOST_FAULTS or place - places[0] >= MOST_LINES):
                complete = False
                break
    except UserError:  # the rest of the file cannot be read
        if first is None:
            raise
        complete = False
    if first:
        raise UserError(f"{first}{_others(places[1:], unit, complete)}") from None


def _others(places: list[int], unit: str, complete: bool) -> str:
    if not places:
        return ""
    named = [f"{place:,}" for place in places[:_NAMED]]
    more = len(places) - len(named)
    last = f"{'' if complete else 'at least '}{more} more" if more else named.pop()
    listed = f"{', '.join(named)} and {last}" if named else last
    return f". {unit}{'s' * (len(places) > 1)} {listed}: faulty as well"
