"""The key or column that holds a story."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from talewright.errors import UserError


def require_key(names: Iterable[str], key: str, where: str) -> None:
    if key not in names:
        raise UserError(no_such_key(names, key, where))


def no_such_key(names: Iterable[str], key: str, where: str) -> str:
    """The message for a missing key or column; it lists the ones that exist."""
    there = list(names)
    listed = ", ".join(f'"{name}"' for name in there[:10]) + (" ..." if len(there) > 10 else "")
    return f'{where} has no "{key}"; it has {listed or "nothing"}. Name the right one with --text-key'


def story_of(value: Any, key: str, where: str) -> str:
    """The story in a JSON value: a string, or an object that has one under the key."""
    if isinstance(value, dict):
        require_key(value, key, where)
        value, where = value[key], f'{where} "{key}"'
    if value is None or isinstance(value, str):
        return value or ""
    kind = {bool: "true or false", list: "a list", dict: "an object"}.get(type(value), "a number")
    raise UserError(f"{where} holds {kind}, not text; name the right key with --text-key")
