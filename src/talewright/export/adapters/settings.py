"""The settings of a foreign config.json, read one by one: what is missing or strange is named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from talewright.errors import UserError


class Settings:
    """A config.json: its values by key, with the file's name for what there is to complain of."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values, self.where = values, where

    def whole(self, key: str, default: int | None = None, least: int = 1) -> int:
        """A whole number, `least` or more."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.wrong(key, f"a whole number from {least} up would be right")
        return value

    def number(self, key: str, default: float) -> float:
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, "a number would be right")
        return float(value)

    def yes(self, key: str, default: bool) -> bool:
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false would be right")
        return value

    def one_of(self, key: str, known: Mapping[str, str], default: str) -> Any:
        """What `known` has under the key's value."""
        value = self._value(key, default)
        if not isinstance(value, str) or value not in known:
            raise self.wrong(key, "known are " + ", ".join(known))
        return known[value]

    def must_be(self, key: str, *allowed: Any) -> None:
        """Refuse another value of a setting that our model does not have; the first allowed is the default."""
        value = self.values.get(key, allowed[0])
        if value not in allowed:
            raise self.wrong(key, f"our model computes what {json.dumps(allowed[0])} means, and nothing else")

    def dropout(self, **sites: str) -> dict[str, Any]:
        """Our dropout settings from the rates of those keys: where they differ, the largest holds at all."""
        rates = {site: self.number(key, 0.0) for site, key in sites.items()}
        used = tuple(site for site, rate in rates.items() if rate > 0)
        return {"dropout": max(rates.values()), **({"dropout_sites": used} if used else {})}

    def wrong(self, key: str, right: str) -> UserError:
        shown = json.dumps(self.values.get(key))[:80]
        return UserError(f"{self.where} says {key} is {shown}; {right}")

    def _value(self, key: str, default: Any) -> Any:
        value = self.values.get(key)
        value = default if value is None else value
        if value is None:
            raise UserError(f"{self.where} has no {key}")
        return value
