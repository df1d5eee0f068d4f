"""What every setting of a recipe means, from the docstrings in `config/`: for `recipes NAME --explain` and
docs/settings.md.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from talewright.config import Recipe, recipe_to_dict
from talewright.config.checks import checks_of, setting_types

KINDS = {int: "whole number", float: "number", bool: "true or false", str: "text"}

PAGE = """# Settings

Every setting of a recipe, with its default. Set one in a recipe's YAML file, or on the command line by its name, as in
`--model.n-layers 6`; `talewright recipes NAME --explain` prints this list with a recipe's own values. This page is
made from the docstrings in `src/talewright/config/`: `python -m talewright.cli.settings > docs/settings.md`.
"""


class Setting(NamedTuple):
    """A setting of a recipe."""

    section: str
    """Empty for the recipe's own settings."""
    name: str
    values: str
    """What it can be, in words."""
    default: Any
    meaning: str


def settings() -> Iterator[Setting]:
    """Every setting, section by section."""
    types = setting_types(Recipe)
    yield from _settings_of("", Recipe)
    for section, cls in types.items():
        if isinstance(cls, type) and is_dataclass(cls):
            yield from _settings_of(section, cls)


def explain(recipe: Recipe, width: int) -> str:
    """Every setting of a recipe: its value, and what it means."""
    values, lines, section = recipe_to_dict(recipe), [f"{recipe.name}: {recipe.about}"], None
    for setting in settings():
        if setting.section != section:
            section = setting.section
            lines += ["", section or "recipe", "-" * len(section or "recipe")]
        value = values[setting.section][setting.name] if setting.section else values[setting.name]
        changed = "" if value == setting.default else f"   (default: {_shown(setting.default)})"
        lines += _wrap(f"{_dotted(setting)}: {_shown(value)}{changed}", width, 0, 4)
        lines += _wrap(f"{setting.meaning} [{setting.values}]", width, 4, 4)
    return "\n".join(lines)


def settings_page() -> str:
    """docs/settings.md."""
    lines, section = [PAGE], None
    for setting in settings():
        if setting.section != section:
            section = setting.section
            lines += [f"## {section or 'The recipe itself'}", ""]
        lines += [f"**`{_dotted(setting)}`** = `{_shown(setting.default)}`", ""]
        text = f"{setting.meaning} *({setting.values})*".replace("\\", "\\\\")  # Markdown takes one of the two
        lines += [*_wrap(text, 120, 0, 0), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _settings_of(section: str, cls: type) -> Iterator[Setting]:
    meanings, hints = _docstrings(cls), setting_types(cls)
    for each in fields(cls):  # type: ignore[arg-type]
        if not is_dataclass(hints[each.name]):
            default = each.default if each.default is not MISSING else None
            default = list(default) if isinstance(default, tuple) else default
            yield Setting(section, each.name, _values(hints[each.name]), default, meanings.get(each.name, ""))


def _docstrings(cls: type) -> dict[str, str]:
    """The text below each attribute of a class, in one line."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body  # type: ignore[attr-defined]
    found = {}
    for attribute, below in pairwise(body):
        if isinstance(attribute, ast.AnnAssign) and isinstance(attribute.target, ast.Name):
            text = ast.get_docstring(ast.Module([below], [])) if isinstance(below, ast.Expr) else None
            found[attribute.target.id] = " ".join((text or "").split())
    return found


def _values(hint: Any) -> str:
    """The values of a type, in words: "whole number or null: it must be 1 or more"."""
    return ": ".join([_kind(hint), *(check.rule for check in checks_of(hint))])


def _kind(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin in (Union, UnionType):
        return " or ".join("null" if each is NoneType else _kind(each) for each in arguments)
    if origin is Literal:
        return ", ".join(map(str, arguments))
    if origin is tuple:
        return f"list: {_kind(arguments[0])}" if Ellipsis in arguments else f"list of {len(arguments)} numbers"
    return KINDS[hint]


def _dotted(setting: Setting) -> str:
    return f"{setting.section}.{setting.name}" if setting.section else setting.name


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value) or '""'


def _wrap(text: str, width: int, first: int, rest: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=" " * first, subsequent_indent=" " * rest, break_on_hyphens=False)


if __name__ == "__main__":
    print(settings_page(), end="")
