"""The items of a JSON file, parsed one by one while its text arrives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from talewright.data.sources import text
from talewright.data.sources.keys import DuplicateKeyError, has_key, object_with
from talewright.errors import UserError


def json_items(chunks: Iterator[str], name: str, key: str, field: str = "", only: bool = True) -> Iterator[Any]:
    """The items of a list; or of the list or object that an object holds under `field`; or the values of the file.

    Raises UserError, naming the file and line, if the JSON is malformed, an item is longer than any story, or another
    list has objects with the `key` too, unless `only` is false.
    """
    parser = _JsonParser(chunks, name, key)
    if parser.peek() == "[":
        yield from parser.items()
        if parser.peek() == "[":
            raise parser.error("it holds one list after another; a line of JSON Lines is an object or a string")
        if parser.peek():
            raise parser.error("it goes on after the end of its list")
    elif field:
        yield from parser.items_of_field(field, only)
        if parser.peek():
            raise parser.error("it goes on after the end of its object")
    else:
        while start := parser.peek():
            if start not in '{"':
                raise parser.error("it holds neither a list nor an object")
            yield parser.value()


def json_fields(sample: str, key: str) -> dict[str, Any]:
    """What a JSON object holds, as far as the sample goes; none if the sample begins with anything else.

    A list or an object in it may lack its end.
    """
    fields: dict[str, Any] = {}
    with suppress(UserError):
        _add_fields(_JsonParser(iter([sample]), "", key), fields)
    return fields


def _add_fields(parser: _JsonParser, fields: dict[str, Any], depth: int = 4) -> None:
    """Add what the object that comes next holds, also if it lacks its end."""
    for name in parser.members():
        start = parser.peek()
        if start == "[":
            fields[name] = found = []
            for item in parser.items():
                found.append(item)
        elif start == "{" and depth:
            fields[name] = inner = {}
            _add_fields(parser, inner, depth - 1)
        else:
            fields[name] = parser.value()


class _JsonParser:
    """Parses one JSON value after another and reads more text only when it needs it."""

    def __init__(self, chunks: Iterator[str], name: str, key: str) -> None:
        self.name, self._key = name, key
        self._chunks, self._text, self._position, self._ended = chunks, "", 0, False
        self._line = 1  # of the text's beginning
        self._decode = json.JSONDecoder(strict=False, object_pairs_hook=object_with(key)).raw_decode

    def items(self) -> Iterator[Any]:
        """The items of the list that comes next; the values of an object."""
        if self.peek() == "{":
            for _ in self.members():
                yield self.value()
            return
        if not self.skip("["):
            raise self.error("a list is expected")
        ended = self.skip("]")
        while not ended:
            yield self.value()
            ended = self.skip("]")
            if not ended and not self.skip(","):
                raise self.error("a list has neither , nor ]")

    def members(self) -> Iterator[str]:
        """The keys of the object that comes next; each one's value is to be parsed before going on."""
        if not self.skip("{"):
            raise self.error("an object is expected")
        ended = self.skip("}")
        while not ended:
            if self.peek() != '"':
                raise self.error("a key is not in quotation marks")
            name = self.value()
            if not self.skip(":"):
                raise self.error("a key has no :")
            yield name
            ended = self.skip("}")
            if not ended and not self.skip(","):
                raise self.error("an object has neither , nor }")

    def items_of_field(self, field: str, only: bool) -> Iterator[Any]:
        """The items of what the object that comes next holds under this key."""
        found = False
        for name in self.members():
            if name == field and found:
                raise self.error(f'an object has "{field}" twice')
            if name == field:
                found = True
                yield from self.items()
            elif field.startswith(f"{name}.") and self.peek() == "{":
                found = True
                yield from self.items_of_field(field.removeprefix(f"{name}."), only)
            elif isinstance(other := self.value(), list) and only and other and has_key(other[0], self._key):
                both = f'both "{field}" and "{name}" hold objects with "{self._key}"'
                raise self.error(f"{both}; name one with --text-key, such as {field}.{self._key}")
        if not found:
            raise self.error(f'its object has no "{field}"')

    def peek(self) -> str:
        """The next character that is not white space; "" at the end."""
        while True:
            while self._position < len(self._text) and self._text[self._position] in " \t\n\r\ufeff":
                self._position += 1
            if self._position < len(self._text) or not self._read_more():
                return self._text[self._position : self._position + 1]

    def skip(self, character: str) -> bool:
        """Whether the next character is this one; if so, move past it."""
        equal = self.peek() == character
        self._position += equal
        return equal

    def value(self) -> Any:
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self._position)
            except json.JSONDecodeError as error:
                # The text may only be incomplete: within a string, a literal or an escape.
                incomplete = error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - 12
                if not incomplete or not self._read_more():
                    raise self.error(error.msg, error.pos) from None
            except RecursionError:
                raise self.error("it is nested too deep") from None
            except DuplicateKeyError as error:
                raise self.error(str(error)) from None
            except ValueError:  # Python reads no integer of more than 4,300 digits
                raise self.error("a number has thousands of digits") from None
            else:
                if end < len(self._text) or not self._read_more():  # otherwise a number may go on
                    self._position = end
                    return value

    def error(self, reason: str, place: int | None = None) -> UserError:
        """A fault at a place of the text, or at the next character."""
        place = self._position if place is None else place
        line = self._line + self._text.count("\n", 0, place)
        near = self._text[place : place + 40]
        where = f"near {near!r}" if near else "at its end"
        return UserError(f"{self.name} line {line:,} is not JSON as it should be: {reason}, {where}")

    def _read_more(self) -> bool:
        """Read at least as much as is left to parse, so that a long value is not parsed again for every chunk."""
        rest = self._text[self._position :]
        if len(rest) > text.LONGEST_STORY:
            raise self.error(f"a value is longer than {text.LONGEST_STORY >> 20} million characters")
        self._line += self._text.count("\n", 0, self._position)
        chunks, missing = [rest], max(len(rest), 1)
        while missing > 0 and not self._ended:
            chunk = next(self._chunks, None)
            self._ended = chunk is None
            chunks.append(chunk or "")
            missing -= len(chunk or "")
        self._text, self._position = "".join(chunks), 0
        return len(self._text) > len(rest)
