"""The YAML file of a sweep, read strictly: every problem is reported at once."""

from __future__ import annotations

import difflib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talewright.config import Recipe, load_recipe, read_yaml, setting_names, takes_whole_numbers
from talewright.config.convert import show
from talewright.config.data import NEW_SOURCE
from talewright.errors import UserError

KEYS = ("recipe", "set", "vary", "points", "seeds", "sampler", "trials", "pruner")
SAMPLERS = ("grid", "random", "tpe")
PRUNERS = ("none", "median", "hyperband")
SOURCE = "data.source"
POINT = "point"
"""The parameter that varies where a sweep lists its points by name."""
MAX_CHECKED = 256
"""Most points whose recipes are checked before anything is trained."""


@dataclass(frozen=True)
class Range:
    """Values that a sampler draws from, both ends included."""

    low: float
    high: float
    log: bool = False
    """Sample uniformly in the logarithm."""
    whole: bool = False
    """Integers only."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The points to try, each with every seed."""

    recipe: str
    """Name of a packaged recipe, or a YAML file."""
    set: dict[str, str]
    """Settings that all trials share, with values as on the command line."""
    vary: dict[str, tuple[str, ...] | Range]
    """For each setting that varies, its values or the range to draw from. With `points`: {POINT: their names}."""
    points: dict[str, dict[str, str]] = field(default_factory=dict)
    """Points listed by name, each with the settings that it changes, such as the ablations of a recipe."""
    seeds: tuple[int, ...] = (0,)
    sampler: str = "grid"
    """grid: every combination of the values; random: `trials` points drawn uniformly; tpe: `trials` points, each chosen
    by Optuna's tree-structured Parzen estimator from the results so far."""
    trials: int | None = None
    """Number of points that a random or tpe sweep draws; each is trained with every seed."""
    pruner: dict[str, Any] = field(default_factory=lambda: {"kind": "none"})
    """Which trials to stop early: the kind of pruner, and the arguments of Optuna's class of that name."""

    @property
    def base(self) -> str | None:
        """The point that changes nothing, with which the others are compared; None if no point is listed so."""
        return next((name for name, settings in self.points.items() if not settings), None)

    def settings(self, point: Mapping[str, str]) -> dict[str, str]:
        """The settings that a point changes."""
        return self.points[point[POINT]] if self.points else dict(point)

    def overrides(self, point: Mapping[str, str] | None = None) -> dict[str, str]:
        """All settings of a point, or those that all share: with stories of their own, the recipe's settings of how its
        stories are read do not hold.
        """
        given = {**self.set, **(self.settings(point) if point else {})}
        return {**NEW_SOURCE, **given} if SOURCE in given else given

    def options(self, point: Mapping[str, str]) -> dict[str, str]:
        """The settings of a point's training beyond those that all share."""
        own = self.settings(point)
        names = {*own, *NEW_SOURCE} if SOURCE in own else own.keys()
        return {name: value for name, value in self.overrides(point).items() if name in names}


def read_sweep(path: Path) -> Sweep:
    """Read a sweep from YAML. Raises UserError, naming every problem at once."""
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise UserError(f"{path} is not a sweep: it needs settings such as `recipe: mini-2m` and `vary: {{...}}`")
    if "search" in values:  # what `sampler` was called
        values.setdefault("sampler", values.pop("search"))
    problems: list[str] = []
    sweep = _parse(values, problems)
    problems += _conflicts(sweep, values)
    problems = problems or _recipe_problems(sweep)
    if problems:
        listing = f" has {len(problems)} problems:\n" + "\n".join(f"  - {problem}" for problem in problems)
        raise UserError(f"{path}{listing if len(problems) > 1 else ': ' + problems[0]}")
    return sweep


def grid(sweep: Sweep) -> Iterator[dict[str, str]]:
    """Every combination of the listed values; a range contributes its two ends."""
    values = [(json.dumps(v.low), json.dumps(v.high)) if isinstance(v, Range) else v for v in sweep.vary.values()]
    for point in itertools.product(*values):
        yield dict(zip(sweep.vary, point, strict=True))


def has_time_budget(sweep: Sweep) -> bool:
    """Whether the training of some point is limited in minutes."""
    return any(recipe.train.max_minutes is not None for recipe in recipes(sweep))


def recipes(sweep: Sweep) -> Iterator[Recipe]:
    """The recipes of its points, of the first ones if there are many."""
    for point in itertools.islice(grid(sweep), MAX_CHECKED):
        yield load_recipe(sweep.recipe, sweep.overrides(point))


def _parse(values: Mapping[Any, Any], problems: list[str]) -> Sweep:
    """The sweep as far as it can be understood; what cannot be is added to `problems`."""
    problems += [_unknown(str(key), KEYS) for key in values if key not in KEYS]
    points, seeds, pruner = values.get("points") or {}, values.get("seeds", [0]), values.get("pruner", "none")
    if not isinstance(points, dict):
        problems.append(f"points is {points!r}; it names points and their settings, such as {{base: {{}}, deep: ...}}")
        points = {}
    if not isinstance(seeds, list) or not seeds or not all(_is_count(seed, 0) and seed < 2**63 for seed in seeds):
        problems.append(f"seeds is {show(seeds)}; it is a list of integers from 0 to {2**63 - 1}, such as [0, 1, 2]")
        seeds = [0]
    vary = {name: _varied(name, v, problems) for name, v in _settings("vary", values.get("vary"), problems).items()}
    return Sweep(
        recipe=str(values.get("recipe", "")),
        set=_arguments("set", values.get("set"), problems),
        vary=vary | ({POINT: tuple(map(str, points))} if points else {}),
        points={str(name): _arguments(f"points.{name}", section, problems) for name, section in points.items()},
        seeds=tuple(dict.fromkeys(seeds)),
        sampler=values.get("sampler", "grid"),
        trials=values.get("trials"),
        pruner=pruner if isinstance(pruner, dict) else {"kind": pruner},
    )


def _settings(key: str, section: Any, problems: list[str]) -> dict[str, Any]:
    if section is not None and not isinstance(section, dict):
        problems.append(f"{key} is {section!r}; it is a section of settings, such as {{train.max_steps: 300}}")
    found: dict[str, Any] = {}
    for name, value in section.items() if isinstance(section, dict) else ():
        known = str(name).replace("-", "_")
        if known in found:
            problems.append(f"{key}.{known} is given twice; keep one of them")
        found[known] = value
    return found


def _arguments(key: str, section: Any, problems: list[str]) -> dict[str, str]:
    """The settings of a section, with values as on the command line."""
    return {name: _argument(value) for name, value in _settings(key, section, problems).items()}


def _argument(value: Any) -> str:
    """A YAML value as command-line text that reads back as the same value."""
    if isinstance(value, str) and not value.lstrip().startswith(("[", "{", "'", '"')):
        return json.dumps(value) if value.strip() in ("", "null", "true", "false") else value
    try:
        return json.dumps(value, default=str)  # YAML has dates
    except (TypeError, ValueError):  # a date as a key, or a list within itself: no setting's value
        return show(value)


def _varied(name: str, value: Any, problems: list[str]) -> tuple[str, ...] | Range:
    if isinstance(value, list) and value:
        return tuple(dict.fromkeys(map(_argument, value)))
    if isinstance(value, dict) and {"from", "to"} <= value.keys() <= {"from", "to", "log"}:
        low, high, log = _number(value["from"]), _number(value["to"]), value.get("log", False)
        if low < high and isinstance(log, bool) and (low > 0 or not log):
            return Range(low, high, log, name in setting_names() and takes_whole_numbers(name))
    problems.append(
        f"vary.{name} is {show(value)}; it is a list of values, or a range such as {{from: 1e-4, to: 1e-2, log: true}}"
        ", with `to` above `from`, and `from` above 0 if it is logarithmic"
    )
    return ("null",)


def _number(value: Any) -> float:
    """The number, or NaN where it is none; YAML 1.1 reads 1e-4 as text."""
    try:
        return float(value) if math.isfinite(float(value)) and not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _is_count(value: Any, minimum: float) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum


def _unknown(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(names), 1)
    return f"no setting {name}" + (f"; did you mean {near[0]}?" if near else "")


def _conflicts(sweep: Sweep, values: Mapping[str, Any]) -> Iterator[str]:
    names = set(setting_names())
    if not isinstance(values.get("recipe"), str):
        yield "recipe is missing; it names the recipe that is varied, such as `recipe: mini-2m`"
    if not sweep.vary and len(sweep.seeds) == 1:
        yield "nothing varies; vary holds settings and their values, such as {train.learning_rate: [1e-3, 3e-3]}"
    if sweep.points and (values.get("vary") or sweep.sampler != "grid"):
        yield "points cannot be combined with vary or a sampler; use either points, or vary with a sampler"
    sections: dict[str, Mapping[str, Any]] = {"set": sweep.set, "vary": {} if sweep.points else sweep.vary}
    sections |= {f"points.{name}": point for name, point in sweep.points.items()}
    for section, name in [(section, name) for section, settings in sections.items() for name in settings]:
        if name == "seed":
            yield f"{section}.seed: seeds are listed under `seeds`"
        elif name not in names:
            yield _unknown(name, names)
    for name in sweep.set.keys() & sweep.vary.keys():
        yield f"{name} is both in set and in vary; keep one of them"
    if sweep.pruner.get("kind") not in PRUNERS:
        yield f"pruner is {sweep.pruner.get('kind')!r}; it is {', '.join(PRUNERS)}, or {{kind: median, ...}}"
    if sweep.sampler not in SAMPLERS:
        yield f"sampler is {sweep.sampler!r}; it is grid, random or tpe"
    elif sweep.sampler != "grid" and not (sweep.vary and _is_count(sweep.trials, 1)):
        yield f"trials is {sweep.trials!r}; a {sweep.sampler} sampler needs vary, and the number of points, 1 or more"
    elif sweep.sampler == "grid" and sweep.trials is not None:
        yield "trials is for the samplers random and tpe; a grid has as many points as its values make"
    for name, value in sweep.vary.items():
        if sweep.sampler == "grid" and isinstance(value, Range):
            yield f"vary.{name} is a range; a grid needs a list of values, or set sampler: random or tpe"


def _recipe_problems(sweep: Sweep) -> list[str]:
    """What is wrong with the recipes of the points, each problem once."""
    problems: dict[str, None] = {}
    for point in itertools.islice(grid(sweep), MAX_CHECKED):
        try:
            load_recipe(sweep.recipe, sweep.overrides(point))
        except UserError as error:
            problems[str(error)] = None
    return list(problems)
