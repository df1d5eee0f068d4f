"""The settings of a foreign config.json, read one by one, with an error that names the key and the right values."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from talewright.errors import UserError

MOST = 1 << 24
"""The largest size that is read. No model is larger in any direction, and torch cannot describe much larger ones."""


class ConfigJson:
    """The values of a config.json, and the file's name for error messages."""

    def __init__(self, values: Mapping[str, Any], path: str) -> None:
        self.values, self.path = values, path

    def integer(self, key: str, default: int | None = None, least: int = 1) -> int:
        kind = f"an integer from {least} to {MOST:,}"
        return self._read(key, default, lambda value: _is(value, int) and least <= value <= MOST, kind)

    def number(self, key: str, default: float | None = None) -> float:
        most = sys.float_info.max  # an integer may be larger
        return float(
            self._read(key, default, lambda value: _is(value, int | float) and -most <= value <= most, "a number")
        )

    def boolean(self, key: str, default: bool | None = None) -> bool:
        return self._read(key, default, lambda value: isinstance(value, bool), "true or false")

    def choice(self, key: str, known: Mapping[str, str], default: str) -> Any:
        """The entry of `known` that the value names."""
        return known[self._read(key, default, lambda value: value in list(known), " or ".join(known))]

    def require(self, key: str, *allowed: Any) -> None:
        """Refuse a setting that our model does not have; the first allowed value is the default."""
        if self.values.get(key, allowed[0]) not in allowed:
            raise self.error(key, f"our model supports only {json.dumps(allowed[0])}")

    def dropout(self, keys: Mapping[str, str]) -> dict[str, Any]:
        """Our dropout settings from the key of each site. Our model has one rate: the largest, at each site above 0."""
        rates = {site: self.number(key, 0.0) for site, key in keys.items()}
        sites = tuple(site for site, rate in rates.items() if rate > 0)
        return {"dropout": max(rates.values(), default=0.0), **({"dropout_sites": sites} if sites else {})}

    def error(self, key: str, fix: str) -> UserError:
        return UserError(f"{self.path}: {key} is {json.dumps(self.values.get(key))[:80]}; {fix}")

    def _read(self, key: str, default: Any, valid: Callable[[Any], bool], kind: str) -> Any:
        value = self.values.get(key)
        value = default if value is None else value
        if value is None:
            raise UserError(f"{self.path} has no {key}")
        if not valid(value):
            raise self.error(key, f"use {kind}")
        return value


def _is(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
