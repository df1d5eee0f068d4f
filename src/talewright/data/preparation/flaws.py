"""Flaws that cleaning leaves in a story, because nobody knows what stood there: they are counted and reported."""

from __future__ import annotations

import re

from talewright.data.preparation.misread import looks_misread

_CONTROL_BYTES = bytes({*range(0x20), 0x7F} - {*b"\t\n"})
_UNUSUAL = re.compile("[^\x00-\x7f“”‘’–—…]")  # what most stories have none of
_CONTROL = re.compile("[\x80-\x9f]")
# Marks that Arabic, Indic and other scripts need are flaws only within Latin text.
_INVISIBLE = re.compile(
    "[\xad\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\ufff9-\ufffb]|(?<![^\x00-\u024f])[\u200b-\u200f](?![^\x00-\u024f])"
)
_ENTITY = re.compile("&(?:#[0-9]{2,6}|#[xX][0-9a-fA-F]{2,6}|amp|quot|apos|lt|gt|nbsp|[mn]dash|[lr][sd]quo|hellip);")
_TAG = re.compile(
    "</?(?:p|br|div|span|b|i|u|em|strong|a|h[1-6]|img|ul|ol|li|font|html|body)(?: [^<>]*)?/?>", re.IGNORECASE
)
_ESCAPE = re.compile(r"\\u[0-9a-fA-F]{4}|\\x[89a-fA-F][0-9a-fA-F]|\\[\"']|\\[nrt](?![a-z])")
_QUOTED = re.compile("[=%][C-F][0-9A-F](?:[=%][89AB][0-9A-F])+")


def find_flaws(text: str, encoded: bytes) -> list[str]:
    """Which flaws a cleaned story has, by their names in FLAWS; `encoded` is its UTF-8."""
    found = {"control": len(encoded.translate(None, _CONTROL_BYTES)) < len(encoded), "markup": _has_markup(text)}
    found["misread"] = "+" in text and looks_misread(text)
    if not text.isascii() and _UNUSUAL.search(text):
        found["lost"] = "\ufffd" in text
        found["misread"] = looks_misread(text)
        found["control"] |= _CONTROL.search(text) is not None
        found["invisible"] = _INVISIBLE.search(text) is not None
    return [name for name, is_found in found.items() if is_found]


def _has_markup(text: str) -> bool:
    return (
        ("&" in text and _ENTITY.search(text) is not None)
        or ("<" in text and _TAG.search(text) is not None)
        or ("\\" in text and _ESCAPE.search(text) is not None)
        or (("=" in text or "%" in text) and _QUOTED.search(text) is not None)
    )


def is_damaged(text: str) -> bool:
    """Whether some of a cleaned story is missing or wrong."""
    return "\ufffd" in text or looks_misread(text)
