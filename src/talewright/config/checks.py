"""Range checks that stand beside the settings they belong to, as annotations of their types."""

import dataclasses
import math
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar


@dataclass(frozen=True)
class Check:
    """What a setting's value must fulfill, and how a message puts it."""

    holds: Callable[[Any], bool]
    rule: str


Count = Annotated[int, Check(lambda value: value >= 1, "it must be 1 or more")]
CountOrZero = Annotated[int, Check(lambda value: value >= 0, "it must be 0 or more")]
Positive = Annotated[float, Check(lambda value: 0 < value < math.inf, "it must be above 0")]
NotNegative = Annotated[float, Check(lambda value: 0 <= value < math.inf, "it must be 0 or more")]
Fraction = Annotated[float, Check(lambda value: 0 <= value <= 1, "it is a fraction, from 0 to 1")]
PositiveFraction = Annotated[float, Check(lambda value: 0 < value <= 1, "it is a fraction, above 0 and up to 1")]
Probability = Annotated[float, Check(lambda value: 0 <= value < 1, "it is a probability, from 0 to below 1")]
Decay = Annotated[float, Check(lambda value: 0 <= value < 1, "it is a decay, from 0 to below 1")]


class Section:
    """Settings with checks: of each value by its annotation, and of values together by `conflicts`."""

    _prefix: ClassVar[str] = ""

    def __init_subclass__(cls, prefix: str = "") -> None:
        cls._prefix = prefix

    def problems(self) -> Iterator[str]:
        """What is wrong with the values, one sentence each."""
        for name, hint in setting_types(type(self)).items():
            value = getattr(self, name)
            for check in checks_of(hint):
                if value is not None and not check.holds(value):
                    yield f"{self._prefix}{name} is {_shown(value)}; {check.rule}"
        yield from self.conflicts()

    def conflicts(self) -> Iterator[str]:
        """What is wrong with the values together. Values out of their own range may occur here too."""
        return iter(())


@cache
def setting_types(section: type) -> dict[str, Any]:
    """The annotated types of a section's settings, by name."""
    hints = typing.get_type_hints(section, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(section)}


def checks_of(hint: Any) -> list[Check]:
    """The checks that annotate a type, or a part of it, such as the Count of `Count | None`."""
    checks = [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Check)]
    return sum(map(checks_of, typing.get_args(hint)), checks)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return str(list(value)) if value else "empty"
    return repr(value) if isinstance(value, str) else str(value)
