"""Plain values, as YAML has them, converted to the types of settings."""

import math
import reprlib
import types
import typing
from typing import Annotated, Any, Literal

KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def convert(hint: Any, value: Any) -> Any:
    """The value as the type hint requires it. Raises ValueError with what would be right."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return convert(arguments[0], value)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value)
    if origin is Literal:
        if isinstance(value, bool) or value not in arguments:
            raise ValueError("it is one of " + ", ".join(map(str, arguments)))
        return value
    if origin is tuple:
        items = list(value) if isinstance(value, (list, tuple)) else [value]
        kinds = [arguments[0]] * len(items) if Ellipsis in arguments else arguments
        if len(items) != len(kinds):
            raise ValueError(f"it is a list of {len(kinds)}")
        return tuple(map(convert, kinds, items))
    return _convert_scalar(hint, value)


def _convert_union(arguments: tuple[Any, ...], value: Any) -> Any:
    optional = type(None) in arguments
    if value is None and optional:
        return None
    reasons = []
    for argument in arguments:
        if argument is not type(None):
            try:
                return convert(argument, value)
            except ValueError as error:
                reasons.append(str(error))
    raise ValueError(", or ".join([*reasons, "null leaves it unset"] if optional else reasons))


def _convert_scalar(kind: type, value: Any) -> Any:
    wrong = ValueError(f"it is {KINDS[kind]}")
    if not isinstance(value, (str, int, float)) or isinstance(value, bool) != (kind is bool):
        raise wrong
    if kind in (str, bool):
        return kind(value)
    try:
        number = float(value)  # also of a text: YAML 1.1 reads 3e-4 as one
    except (ValueError, OverflowError):
        raise wrong from None
    if not math.isfinite(number):
        raise ValueError("it is a finite number")
    if kind is float:
        return number
    if number != int(number):
        raise wrong
    return value if isinstance(value, int) else int(number)


def kind_of(value: Any) -> str:
    """What kind of value it is, for a message."""
    if value is None:
        return "nothing"
    kinds = {**KINDS, int: "a number", list: "a list", dict: "a section"}
    return kinds.get(type(value), f"a {type(value).__name__}")


def show(value: Any) -> str:
    """The value as the user wrote it, cut short."""
    if value is None:
        return "null"
    try:
        text = reprlib.repr(value) if isinstance(value, (list, dict, tuple, set)) else str(value)
    except ValueError:  # Python does not print integers of more than 4,300 digits
        return "a number too long to show"
    return text.lower() if isinstance(value, bool) else text[:80]
