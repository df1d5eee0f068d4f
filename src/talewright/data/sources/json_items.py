"""The items of a JSON list, parsed one by one while its text arrives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from talewright.data.sources import text
from talewright.errors import UserError


def json_items(chunks: Iterator[str], name: str) -> Iterator[Any]:
    """The items of a list, or of the only list in an object, from the text of a file in chunks.

    Raises UserError, naming the file, if the JSON is malformed or an item is longer than any story.
    """
    parser = _JsonParser(chunks, name)
    if parser.peek() == "":
        return
    if parser.skip("["):
        yield from parser.list_items()
    elif parser.skip("{"):
        yield from parser.items_in_object()
    else:
        raise parser.error("it holds neither a list nor an object")
    if parser.peek():
        raise parser.error("it goes on after its end; one JSON value a line is called .jsonl")


class _JsonParser:
    """Parses one JSON value after another and reads more text only when it needs it."""

    def __init__(self, chunks: Iterator[str], name: str) -> None:
        self.name = name
        self._chunks, self._text, self._position, self._ended = chunks, "", 0, False
        self._decode = json.JSONDecoder(strict=False).raw_decode

    def list_items(self) -> Iterator[Any]:
        """The items up to the end of a list that has begun."""
        ended = self.skip("]")
        while not ended:
            yield self.value()
            ended = self.skip("]")
            if not ended and not self.skip(","):
                raise self.error("a list has neither , nor ]")

    def items_in_object(self) -> Iterator[Any]:
        """The items of the only list in an object that has begun."""
        lists = 0
        while not self.skip("}"):
            self.value()  # the key
            if not self.skip(":"):
                raise self.error("a key has no :")
            if self.skip("["):
                lists += 1
                yield from self.list_items()
            else:
                self.value()
            if not self.skip(",") and self.peek() != "}":
                raise self.error("an object has neither , nor }")
        if lists != 1:
            raise self.error(f"its object holds {lists} lists; one list of stories is read")

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
                    raise self.error(error.msg) from None
            except RecursionError:
                raise self.error("it is nested too deep") from None
            except ValueError:  # Python reads no integer of more than 4,300 digits
                raise self.error("a number has thousands of digits") from None
            else:
                if end < len(self._text) or not self._read_more():  # otherwise a number may go on
                    self._position = end
                    return value

    def error(self, reason: str) -> UserError:
        near = self._text[self._position : self._position + 40]
        return UserError(f"{self.name} is not JSON as it should be: {reason}, near {near!r}")

    def _read_more(self) -> bool:
        """Read at least as much as is left to parse, so that a long value is not parsed again for every chunk."""
        rest = self._text[self._position :]
        if len(rest) > text.LONGEST_STORY:
            raise self.error(f"a value is longer than {text.LONGEST_STORY >> 20} million characters")
        chunks, missing = [rest], max(len(rest), 1)
        while missing > 0 and not self._ended:
            chunk = next(self._chunks, None)
            self._ended = chunk is None
            chunks.append(chunk or "")
            missing -= len(chunk or "")
        self._text, self._position = "".join(chunks), 0
        return len(self._text) > len(rest)
