"""The arguments of a command, as its function declares them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from tyro.conf import Positional

POSITIONAL = get_args(Positional[str])[1]
"""What marks a parameter as an argument that is named by its place."""


@dataclass(frozen=True)
class Argument:
    """A parameter of a command, or a field of its options."""

    name: str
    kind: Any
    """Its type, without None."""
    positional: bool

    @property
    def option(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    @property
    def takes_value(self) -> bool:
        return self.kind is not bool

    @property
    def several(self) -> bool:
        """Whether it takes any number of values."""
        return get_origin(self.kind) is tuple

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it takes, if they are a few."""
        kind = get_args(self.kind)[0] if self.several else self.kind
        return get_args(kind) if get_origin(kind) is Literal else ()


def arguments_of(target: Callable[..., Any]) -> Iterator[Argument]:
    """The arguments of a command, or of a dataclass of options."""
    for name, hint in get_type_hints(target, include_extras=True).items():
        kind, *metadata = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        if is_dataclass(kind):
            yield from arguments_of(kind)  # pyright: ignore[reportArgumentType]
        elif name not in ("return", "overrides"):
            yield Argument(name, _without_none(kind), POSITIONAL in metadata)


def _without_none(kind: Any) -> Any:
    if get_origin(kind) not in (Union, UnionType):
        return kind
    return next(each for each in get_args(kind) if each is not NoneType)
