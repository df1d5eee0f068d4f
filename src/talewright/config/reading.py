"""Recipes read and written: packaged ones and YAML files, strictly, with overrides, every problem reported at once."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import math
import re
import reprlib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from talewright.config.schema import BUDGETS, Recipe
from talewright.errors import UserError

REMOVED: dict[str, tuple[Any, ...]] = {
    "model.residual_scalars": (False,),
    "model.logit_cap": (None,),
    "model.init_residual": ("scaled",),
    "optimizer.cautious_decay": (False,),
    "train.ramp_steps": (0,),
    "train.short_steps": (0,),
    "train.short_length": (None,),
}
"""Settings of earlier versions, with the values at which they did nothing: recipes of older runs still open."""


def recipe_names() -> list[str]:
    """Names of the packaged recipes, in alphabetical order."""
    folder = resources.files("talewright") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_recipe(name_or_path: str | Path, overrides: Mapping[str, str] | None = None) -> Recipe:
    """The recipe of that packaged name, or of a YAML file, with ``section.key`` overrides given as YAML scalars.

    Raises UserError, naming every problem at once.
    """
    where = str(name_or_path)
    try:
        values = _read_yaml(_recipe_text(where))
    except yaml.YAMLError as error:
        raise UserError(f"{where} is not YAML: {' '.join(str(error).split())}") from None
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise UserError(f"{where} holds {_kind(values)}; a recipe is a mapping, such as `model: {{n_layers: 4}}`")
    values.setdefault("name", Path(where).stem)
    return _checked(values, _override(values, overrides or {}), where)


def recipe_from_dict(
    values: Mapping[str, Any], where: str = "the recipe", overrides: Mapping[str, str] | None = None
) -> Recipe:
    """A checked recipe of nested plain values, with overrides as for `load_recipe`. Raises UserError, naming every
    problem at once.
    """
    values = copy.deepcopy(dict(values))
    return _checked(values, _override(values, overrides or {}), where)


def recipe_to_yaml(recipe: Recipe) -> str:
    """The recipe as YAML that `load_recipe` reads back to an equal one; every value stands in it."""
    return yaml.dump(recipe_to_dict(recipe), Dumper=_SafeDumper, sort_keys=False, allow_unicode=True, width=120)


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested plain values (tuples become lists)."""
    return cast("dict[str, Any]", _plain(dataclasses.asdict(recipe)))


def read_yaml(path: Path) -> Any:
    """The plain values of a YAML file; a key given twice is refused. Raises UserError where it cannot be read."""
    try:
        return _read_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no file {path} here") from None
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a name that can be none
        raise UserError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None


@dataclass
class _Findings:
    """What is wrong in plain values."""

    problems: list[str] = field(default_factory=list)
    doubtful: set[str] = field(default_factory=set)
    """Names of settings that were given and not understood. What their defaults would break is not the user's fault."""
    understood: set[str] = field(default_factory=set)
    """Names of settings that were given and are what they should be in kind."""

    def unknown(self, name: str) -> None:
        near = _near(name)
        hint = f"did you mean {near}?" if near else "there are " + ", ".join(_siblings(name))
        self.problems.append(f"no setting {name}; {hint}")
        if near:
            self.doubtful.add(near)

    def wrong(self, name: str, reason: str) -> None:
        self.problems.append(f"{name} is {reason}")
        self.doubtful.add(name)

    def caused(self, problem: str) -> bool:
        """Whether the problem may be one of a default in the place of what was not understood."""
        return any(name not in self.understood and self._in_doubt(name) for name in _mentioned(problem))

    def _in_doubt(self, name: str) -> bool:
        return any(name == doubtful or name.startswith(f"{doubtful}.") for doubtful in self.doubtful)


def _mentioned(problem: str) -> list[str]:
    """The settings that are named in the words of a problem."""
    return [name for name in setting_names() if re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", problem)]


def _checked(values: Mapping[str, Any], found: _Findings, where: str) -> Recipe:
    recipe = _build(Recipe, values, "", found)
    found.problems += [problem for problem in recipe.problems() if not found.caused(problem)]
    if len(found.problems) > 1:
        listing = "\n".join(f"  - {problem}" for problem in found.problems)
        raise UserError(f"{where} has {len(found.problems)} problems:\n{listing}")
    if found.problems:
        raise UserError(found.problems[0])
    return recipe


def _recipe_text(name: str) -> str:
    names = recipe_names()
    if name in names:
        return (resources.files("talewright") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
    path = Path(name)
    try:
        if path.suffix in (".yaml", ".yml") or path.is_file():
            return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"no recipe file {name} here") from None
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a name that can be none
        raise UserError(f"{_show(name)} cannot be read as a recipe: {error}") from None
    near = difflib.get_close_matches(name.lower(), names, 1)
    hint = f"did you mean {near[0]}?" if near else "`talewright recipes` lists them; a file's name ends in .yaml."
    raise UserError(f"no recipe {name}; {hint}")


class _SafeLoader(yaml.SafeLoader):
    """YAML of plain values that refuses a key given twice: the first of two `model:` sections would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands there twice", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


class _SafeDumper(yaml.SafeDumper):
    """YAML of plain values, in which unusual line breaks (U+0085, U+2028) survive: bare, they would turn to spaces."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=None if data.isprintable() else '"')


_SafeDumper.add_representer(str, _SafeDumper.represent_str)


def _read_yaml(text: str) -> Any:
    """The plain values of a YAML text. Raises yaml.YAMLError."""
    try:
        return _SafeLoader(text).get_single_data()
    except yaml.YAMLError:
        raise
    except Exception as error:  # what the reader itself stumbles over: 2001-99-99, 0x_, a thousand brackets
        raise yaml.YAMLError(f"{type(error).__name__}: {error}") from None


def _override(values: dict[str, Any], overrides: Mapping[str, str]) -> _Findings:
    """Put the overrides into the plain values; return what cannot be put there."""
    found, names = _Findings(), set(setting_names())
    if isinstance(values.get("train"), dict) and any(_dotted(key) in BUDGETS for key in overrides):
        for budget in BUDGETS:  # a budget that is asked for replaces the recipe's own, of whatever kind
            values["train"].pop(budget.removeprefix("train."), None)
    for key, text in overrides.items():
        if _dotted(key) not in names:
            found.unknown(_dotted(key))
            continue
        *section, last = _dotted(key).split(".")
        here = values
        if section:
            if values.get(section[0]) is None:
                values[section[0]] = {}
            here = values[section[0]]
        if isinstance(here, dict):  # else it is reported when the section is built
            here[last] = _scalar(text)
    return found


def _scalar(text: str) -> Any:
    """The value of a word of the command line: a number, true, false, null, [a, list], or a text as it stands."""
    try:
        value = _read_yaml(text)
    except yaml.YAMLError:
        return text
    plain = text.strip() and "#" not in text and isinstance(value, (bool, int, float, type(None)))
    return value if plain or text.lstrip().startswith(("[", "{", "'", '"')) else text


def _dotted(key: str) -> str:
    return key.replace("-", "_")


def _build(cls: type, values: Any, path: str, found: _Findings) -> Any:
    """An instance of the dataclass from plain values; the default stands where one cannot be understood."""
    if not isinstance(values, Mapping):
        found.problems.append(f"{path.rstrip('.') or 'the recipe'} is {_kind(values)}; it is a section of settings")
        found.doubtful.add(path.rstrip("."))
        return cls()
    hints = typing.get_type_hints(cls)
    known = [f.name for f in dataclasses.fields(cls)]
    made = {}
    for key, value in values.items():
        if f"{path}{key}" in REMOVED:
            if value not in REMOVED[f"{path}{key}"]:
                found.problems.append(f"{path}{key} is {_show(value)}, and this version has no such setting")
        elif key not in known:
            found.unknown(f"{path}{_show(key)}")
        elif dataclasses.is_dataclass(hints[key]):
            made[key] = _build(cast(type, hints[key]), {} if value is None else value, f"{path}{key}.", found)
        else:
            try:
                made[key] = _convert(hints[key], value)
                found.understood.add(f"{path}{key}")
            except ValueError as error:
                found.wrong(f"{path}{key}", f"{_show(value)}; {error}")
    return cls(**made)


def setting_names(cls: type = Recipe, path: str = "") -> Iterator[str]:
    """Every setting's dotted name, as a recipe and the command line spell it."""
    hints = typing.get_type_hints(cls)
    for f in dataclasses.fields(cls):
        if dataclasses.is_dataclass(hints[f.name]):
            yield from setting_names(cast(type, hints[f.name]), f"{path}{f.name}.")
        else:
            yield f"{path}{f.name}"


def _near(name: str) -> str | None:
    """The setting, or section, that was probably meant."""
    last, names = name.rpartition(".")[2], list(setting_names())
    exact = [n for n in names if n.rpartition(".")[2] == last]  # the right word, under a wrong section or none
    here = {n.rpartition(".")[2]: n for n in _siblings(name)}
    close = [here[word] for word in difflib.get_close_matches(last, here, 1, cutoff=0.5)]
    if name.split(".")[0] not in _sections():
        close += difflib.get_close_matches(name, names, 1)
    return next(iter(exact + close), None)


def _siblings(name: str) -> list[str]:
    """The settings that stand where this name was put."""
    section = name.rpartition(".")[0] + "."
    return [n for n in setting_names() if n.startswith(section)] or _sections()


def _sections() -> list[str]:
    return [f.name for f in dataclasses.fields(Recipe)]


def _convert(hint: Any, value: Any) -> Any:
    """The value as the type says, or ValueError with what would be right."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value)
    if origin is Literal:
        if not isinstance(value, bool) and value in arguments:
            return value
        raise ValueError("it is one of " + ", ".join(map(str, arguments)))
    if origin is tuple:
        return _convert_tuple(arguments, value)
    return _convert_scalar(hint, value)


def _convert_union(arguments: tuple[Any, ...], value: Any) -> Any:
    if value is None and type(None) in arguments:
        return None
    reasons = []
    for argument in arguments:
        if argument is type(None):
            continue
        try:
            return _convert(argument, value)
        except ValueError as error:
            reasons.append(str(error))
    if type(None) in arguments:
        reasons.append("null leaves it unset")
    raise ValueError(", or ".join(reasons))


def _convert_tuple(arguments: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    if Ellipsis in arguments:
        return tuple(_convert(arguments[0], item) for item in items)
    if len(items) != len(arguments):
        raise ValueError(f"it is a list of {len(arguments)}")
    return tuple(_convert(kind, item) for kind, item in zip(arguments, items, strict=True))


def _convert_scalar(kind: type, value: Any) -> Any:
    words = {int: "it is a whole number", float: "it is a number", bool: "it is true or false", str: "it is a text"}
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value)
    if kind in (int, float) and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)  # YAML 1.1 reads 3e-4 as a text
        except (ValueError, OverflowError):
            raise ValueError(words[kind]) from None
        if not math.isfinite(number):
            raise ValueError("it is a finite number")
        if kind is int and number != int(number):
            raise ValueError(words[kind])
        return (value if isinstance(value, int) else int(number)) if kind is int else number
    raise ValueError(words[kind])


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _kind(value: Any) -> str:
    names = {
        list: "a list",
        str: "a text",
        int: "a number",
        float: "a number",
        bool: "true or false",
        dict: "a section",
    }
    return names.get(type(value), "nothing" if value is None else f"a {type(value).__name__}")


def _show(value: Any) -> str:
    """The value as a user would recognise it, cut short."""
    try:
        text = reprlib.repr(value) if isinstance(value, (list, dict, tuple, set)) else str(value)
    except ValueError:  # Python writes out no integer of more than 4,300 digits
        text = "a number too long to show"
    return "null" if value is None else text.lower() if isinstance(value, bool) else text[:80]
