"""How much of a text that is being generated may be shown: up to a stop text, and no half of one."""

from __future__ import annotations

from collections.abc import Sequence


def visible(text: str, stops: Sequence[str], done: bool) -> tuple[int, bool]:
    """How many characters may be shown, and whether a stop text was reached.

    What could still become a stop text is held back until the text is `done`.
    """
    found = [position for stop in stops if (position := text.find(stop)) >= 0]
    if found:
        return min(found), True
    if done:
        return len(text), False
    return len(text) - max((_overlap(text, stop) for stop in stops), default=0), False


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of the text that is a beginning of the stop text."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
