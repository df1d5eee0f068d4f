"""The key or column that holds a story."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from talewright.errors import UserError


def require_key(names: Iterable[str], key: str, where: str) -> None:
    """Raise UserError, naming the place, unless these names hold the key once."""
    there = list(names)
    if key not in there:
        raise UserError(no_such_key(there, key, where))
    if there.count(key) > 1:
        raise UserError(f'{where} has "{key}" {there.count(key)} times; give the others another name')


def no_such_key(names: Iterable[str], key: str, where: str) -> str:
    """The message for a missing key or column; it lists the ones that exist."""
    there = list(names)
    listed = ", ".join(f'"{name}"' for name in there[:10]) + (" ..." if len(there) > 10 else "")
    return f'{where} has no "{key}"; it has {listed or "nothing"}. Name the right one with --text-key'


def key_names(value: Mapping[str, Any], depth: int = 4) -> list[str]:
    """The keys of a JSON object; those of an object within it as `outer.inner`."""
    names = []
    for name, inner in value.items():
        nested = depth and isinstance(inner, dict) and inner
        names += [f"{name}.{each}" for each in key_names(inner, depth - 1)] if nested else [name]
    return names


def at_key(value: Any, key: str) -> Any:
    """What a JSON object holds under a key, or under `outer.inner`. Raises KeyError if it has no such key."""
    if not isinstance(value, dict):
        raise KeyError(key)
    if key in value:
        return value[key]
    for dot in (place for place, character in enumerate(key) if character == "."):
        if key[:dot] in value:
            return at_key(value[key[:dot]], key[dot + 1 :])
    raise KeyError(key)


def has_key(value: Any, key: str) -> bool:
    try:
        at_key(value, key)
    except KeyError:
        return False
    return True


def story_of(value: Any, key: str, where: str) -> str:
    """The story in a JSON value: a string, or an object that has one under the key."""
    story = value
    if isinstance(value, dict):
        try:
            story = at_key(value, key)
        except KeyError:
            raise UserError(no_such_key(key_names(value), key, where)) from None
    if story is None or isinstance(story, str):
        return story or ""
    kind = {bool: "true or false", list: "a list", dict: "an object"}.get(type(story), "a number")
    if not isinstance(value, dict):
        raise UserError(f'{where} holds {kind}, not text; write each story as a text or an object with a "{key}"')
    others = [name for name in key_names(value) if isinstance(at_key(value, name), str)]
    advice = f"name the right key with --text-key, such as {others[0]}" if others else "write each story as one text"
    raise UserError(f'{where} "{key}" holds {kind}, not text; {advice}')


class DuplicateKeyError(ValueError):
    """A JSON object has the story's key twice."""


def object_with(key: str) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """Makes objects for json's `object_pairs_hook`, and raises DuplicateKeyError if one has the story's key twice."""
    parts = {key, *key.split(".")}

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            if twice := [part for part in parts if names.count(part) > 1]:
                raise DuplicateKeyError(f'an object has "{twice[0]}" twice')
        return found

    return build
