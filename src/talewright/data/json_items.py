"""The items of a list in JSON text, one after another while the text comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from talewright.data import characters
from talewright.errors import UserError


def json_items(pieces: Iterator[str], name: str) -> Iterator[Any]:
    """The items of a list, or of the one list that an object holds, out of a file's text in pieces.

    Raises UserError, naming the file, at what is no such JSON, or an item longer than any story.
    """
    text = _JsonText(pieces, name)
    if text.next_sign() == "":
        return
    if text.take("["):
        yield from _list_items(text)
    elif text.take("{"):
        yield from _items_in_object(text)
    else:
        raise text.error("it holds neither a list nor an object")
    if text.next_sign():
        raise text.error("it goes on after its end; one JSON value a line is called .jsonl")


def _list_items(text: _JsonText) -> Iterator[Any]:
    if text.take("]"):
        return
    while True:
        yield text.value()
        if text.take("]"):
            return
        if not text.take(","):
            raise text.error("a list has neither , nor ]")


def _items_in_object(text: _JsonText) -> Iterator[Any]:
    lists = 0
    while not text.take("}"):
        text.value()  # the key
        if not text.take(":"):
            raise text.error("a key has no :")
        if text.take("["):
            lists += 1
            yield from _list_items(text)
        else:
            text.value()
        if not text.take(",") and text.next_sign() != "}":
            raise text.error("an object has neither , nor }")
    if lists != 1:
        raise text.error(f"its object holds {lists} lists; one list of stories is read")


class _JsonText:
    """JSON text that is parsed while it comes, one value after another."""

    def __init__(self, pieces: Iterator[str], name: str) -> None:
        self.name = name
        self._pieces, self._text, self._at, self._ended = pieces, "", 0, False
        self._parse = json.JSONDecoder(strict=False).raw_decode

    def next_sign(self) -> str:
        """The next character that is not blank, left where it is; none at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\n\r\ufeff":
                self._at += 1
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def take(self, sign: str) -> bool:
        """Pass over the next character if it is this one."""
        found = self.next_sign() == sign
        self._at += found
        return found

    def value(self) -> Any:
        """The next value, whole."""
        self.next_sign()
        while True:
            try:
                value, end = self._parse(self._text, self._at)
            except json.JSONDecodeError as error:
                if not self._may_go_on(error) or not self._more():
                    raise self.error(error.msg) from None
            except RecursionError:
                raise self.error("it is nested too deep") from None
            except ValueError:  # Python reads no integer of more than 4,300 digits
                raise self.error("a number has thousands of digits") from None
            else:
                if end < len(self._text) or not self._more():  # else a number may go on
                    self._at = end
                    return value

    def error(self, why: str) -> UserError:
        near = self._text[self._at : self._at + 40]
        return UserError(f"{self.name} is not JSON as it should be: {why}, near {near!r}")

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        """Whether the text may only have been cut short, within a string, a word or an escape."""
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - 12

    def _more(self) -> bool:
        """Read as much again as is left, at least a piece: so a long value is not parsed over and over."""
        rest = self._text[self._at :]
        if len(rest) > characters.LONGEST_STORY:
            raise self.error(f"a value is longer than {characters.LONGEST_STORY >> 20} million characters")
        pieces, wanted = [rest], max(len(rest), 1)
        while wanted > 0 and not self._ended:
            piece = next(self._pieces, None)
            self._ended = piece is None
            pieces.append(piece or "")
            wanted -= len(piece or "")
        self._text, self._at = "".join(pieces), 0
        return len(self._text) > len(rest)
