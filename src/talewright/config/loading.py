"""Recipes from packaged names, YAML files and overrides: read strictly, every problem reported at once."""

import dataclasses
import difflib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, cast

from talewright.config.checks import setting_types
from talewright.config.convert import convert, kind_of, show
from talewright.config.recipe import Recipe
from talewright.config.strict_yaml import YamlError, parse_yaml, read_yaml, write_yaml
from talewright.config.train import BUDGETS
from talewright.errors import UserError

logger = logging.getLogger(__name__)

REMOVED: dict[str, tuple[Any, ...]] = {
    "model.residual_scalars": (False,),
    "model.logit_cap": (None,),
    "model.init_residual": ("scaled",),
    "optimizer.cautious_decay": (False,),
    "train.ramp_steps": (0,),
    "train.short_steps": (0,),
    "train.short_length": (None,),
    "train.tensorboard": (False,),
}
"""Settings of earlier versions, with the values that turned them off: recipes of older runs still load."""

Key = tuple[str, Any]
"""A setting's section (`""` for the recipe's own) and its name there. A name from YAML can be any value."""


@cache
def _settings() -> dict[Key, Any]:
    """The type of every setting."""
    classes = {"": Recipe, **_sections()}
    found = {(section, name): hint for section, cls in classes.items() for name, hint in setting_types(cls).items()}
    return {key: hint for key, hint in found.items() if key[1] not in _sections()}


@cache
def _sections() -> dict[str, Any]:
    """The class of every section."""
    return {name: hint for name, hint in setting_types(Recipe).items() if dataclasses.is_dataclass(hint)}


def setting_names() -> list[str]:
    """Every setting's dotted name, as recipes and the command line spell it."""
    return [_dotted(key) for key in _settings()]


def takes_whole_numbers(name: str) -> bool:
    """Whether a setting has no values between the whole numbers."""
    try:
        convert(_settings()[_key(name)], 0.5)
    except ValueError:
        return True
    return False


def recipe_names() -> list[str]:
    """Names of the packaged recipes, in alphabetical order."""
    folder = resources.files("talewright") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_recipe(name_or_path: str | Path, overrides: Mapping[str, str] | None = None) -> Recipe:
    """The recipe of a packaged name or of a YAML file, with `section.key` overrides given as YAML scalars.

    Raises UserError, naming every problem at once.
    """
    where = str(name_or_path)
    values = _recipe_values(where)
    if not isinstance(values, dict):
        raise UserError(f"{where} holds {kind_of(values)}; a recipe is a mapping, such as `model: {{n_layers: 4}}`")
    return recipe_from_dict({"name": Path(where).stem, **values}, where, overrides)


def recipe_from_dict(
    values: Mapping[Any, Any], where: str = "the recipe", overrides: Mapping[str, str] | None = None
) -> Recipe:
    """A checked recipe of nested plain values, with overrides as for `load_recipe`.

    Raises UserError, naming every problem at once.
    """
    findings = _Findings()
    settings = _flatten(values, findings)
    given = {_key(name.replace("-", "_")): _scalar(text) for name, text in (overrides or {}).items()}
    if any(_dotted(key) in BUDGETS for key in given):  # a given budget replaces the recipe's own, of whatever kind
        settings = {key: value for key, value in settings.items() if _dotted(key) not in BUDGETS}
    recipe = _build(_renamed({**settings, **given}, where), findings)
    problems = findings.problems + [problem for problem in recipe.problems() if not findings.caused(problem)]
    if len(problems) > 1:
        raise UserError("\n  - ".join([f"{where} has {len(problems)} problems:", *problems]))
    if problems:
        raise UserError(problems[0])
    return recipe


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested plain values (tuples become lists)."""
    return cast("dict[str, Any]", _plain(dataclasses.asdict(recipe)))


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values by their dotted names."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def recipe_to_yaml(recipe: Recipe) -> str:
    """The recipe, with every value, as YAML that `load_recipe` reads back to an equal one."""
    return write_yaml(recipe_to_dict(recipe))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _recipe_values(name: str) -> Any:
    names, path = recipe_names(), Path(name)
    if name in names:
        return parse_yaml((resources.files("talewright") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8"))
    if path.suffix in (".yaml", ".yml") or os.path.isfile(path):  # noqa: PTH113  (is_file raises for long names)
        values = read_yaml(path, "recipe file")
        return {} if values is None else values
    near = difflib.get_close_matches(name.lower(), names, 1)
    hint = f"did you mean {near[0]}?" if near else "`talewright recipes` lists them; a file's name ends in .yaml."
    raise UserError(f"no recipe {show(name)}; {hint}")


@dataclass
class _Findings:
    """What is wrong with plain values, and which settings therefore hold a default that the user did not mean."""

    problems: list[str] = field(default_factory=list)
    doubtful: set[str] = field(default_factory=set)
    """Settings and sections that were probably meant by something that was not understood."""
    understood: set[str] = field(default_factory=set)
    """Settings that were given with a value of the right type."""

    def add(self, problem: str, meant: str | None) -> None:
        self.problems.append(problem)
        if meant is not None:
            self.doubtful.add(meant)

    def caused(self, problem: str) -> bool:
        """Whether a problem of the whole recipe may be only that of a default in place of what was meant."""
        named = [name for name in setting_names() if re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", problem)]
        return any(self.doubtful & {name, name.partition(".")[0]} for name in named if name not in self.understood)


def _flatten(values: Mapping[Any, Any], findings: _Findings) -> dict[Key, Any]:
    """The settings of nested values by section and name, of which neither may exist."""
    found: dict[Key, Any] = {}
    for name, value in values.items():
        if name not in _sections():
            found["", name] = value
        elif isinstance(value, Mapping):
            found |= {(name, inner): each for inner, each in value.items()}
        elif value is not None:
            findings.add(f"{name} is {kind_of(value)}; it is a section of settings", name)
    return found


def _renamed(settings: dict[Key, Any], where: str) -> dict[Key, Any]:
    """The settings with those that had another name in version 0.1 under their own."""
    if settings.get(("train", "tensorboard")) is not True:
        return settings
    logger.warning("%s: train.tensorboard is now train.loggers: [tensorboard]", where)
    del settings["train", "tensorboard"]
    return {("train", "loggers"): ["tensorboard"], **settings}


def _build(settings: Mapping[Key, Any], findings: _Findings) -> Recipe:
    """A recipe of these settings, with the default for each that is not understood."""
    built: dict[str, dict[str, Any]] = {section: {} for section in ("", *_sections())}
    for key, value in settings.items():
        name = _dotted(key)
        if name in REMOVED:
            if value not in REMOVED[name]:
                findings.add(
                    f"{name} is {show(value)}, but this setting was removed in version 0.2; version 0.1 has it", None
                )
        elif key not in _settings():
            near = _nearest(key)
            siblings = [_dotted(each) for each in _settings() if each[0] == key[0]] or _sections()
            hint = f"did you mean {near}?" if near else "there are " + ", ".join(siblings)
            findings.add(f"no setting {name}; {hint}", near)
        else:
            try:
                built[key[0]][key[1]] = convert(_settings()[key], value)
                findings.understood.add(name)
            except ValueError as error:
                findings.add(f"{name} is {show(value)}; {error}", name)
    sections = {section: cls(**built[section]) for section, cls in _sections().items()}
    return Recipe(**built[""], **sections)


def _nearest(key: Key) -> str | None:
    """The setting, or section, that was probably meant."""
    section, name = key[0], show(key[1])
    same_name = [_dotted(each) for each in _settings() if each[1] == name]  # in another section, or in none
    siblings = [each[1] for each in _settings() if each[0] == section] + ([] if section else list(_sections()))
    close = [_dotted((section, word)) for word in difflib.get_close_matches(name, siblings, 1, cutoff=0.5)]
    if section not in _sections():
        close += difflib.get_close_matches(_dotted(key), setting_names(), 1)
    return next(iter(same_name + close), None)


def _key(dotted: str) -> Key:
    section, _, name = dotted.rpartition(".")
    return section, name


def _dotted(key: Key) -> str:
    return f"{key[0]}.{show(key[1])}" if key[0] else show(key[1])


def _scalar(text: str) -> Any:
    """The value of a word of the command line: a number, true, false, null, [a, list], or the text itself."""
    try:
        value = parse_yaml(text)
    except YamlError:
        return text
    plain = text.strip() and "#" not in text and isinstance(value, (bool, int, float, type(None)))
    return value if plain or text.lstrip().startswith(("[", "{", "'", '"')) else text
