"""The file that says what a sweep varies: read strictly, every problem reported at once."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talewright.config import load_recipe, read_yaml, setting_names
from talewright.errors import UserError

KEYS = ("recipe", "set", "vary", "points", "seeds", "search", "trials")
POINT = "point"
"""What varies where a sweep lists its points: their name."""
CHECKED = 256
"""Most points of a grid whose recipes are read before anything is run."""


@dataclass(frozen=True)
class Range:
    """Values that a random search draws from, its ends included."""

    low: float
    high: float
    log: bool = False
    """Drawn evenly over the logarithm."""
    whole: bool = False
    """Whole numbers alone."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What is tried: the points, each with every seed."""

    recipe: str
    """A packaged recipe's name, or a YAML file."""
    set: dict[str, str]
    """Settings that all trials have, as words of the command line."""
    vary: dict[str, tuple[str, ...] | Range]
    """By a setting's name, its values as such words, or the range that they are drawn from. Of a sweep that lists its
    points: their names, under POINT."""
    points: dict[str, dict[str, str]] = field(default_factory=dict)
    """By a point's name, the settings that it changes, where each is listed: an ablation's base and its changes."""
    seeds: tuple[int, ...] = (0,)
    search: str = "grid"
    """grid: every combination of the values. random: so many points, drawn."""
    trials: int | None = None
    """Points that a random search draws, each of them run with every seed."""

    def settings(self, point: Mapping[str, str]) -> dict[str, str]:
        """What a point sets beside `set`, by the names of settings."""
        return self.points[point[POINT]] if self.points else dict(point)


def read_sweep(path: Path) -> Sweep:
    """The sweep of a YAML file. Raises UserError, naming every problem at once."""
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise UserError(f"{path} is no sweep: it holds no settings, such as `recipe: mini-2m` and `vary: {{...}}`")
    found: list[str] = []
    sweep = _sweep(values, found)
    found += _problems(sweep, values)
    if not found:
        found += _recipe_problems(sweep)
    if found:
        listing = f" has {len(found)} problems:\n" + "\n".join(f"  - {problem}" for problem in found)
        raise UserError(f"{path}{listing if len(found) > 1 else ': ' + found[0]}")
    return sweep


def grid(sweep: Sweep) -> Iterator[dict[str, str]]:
    """Every combination of the values that are lists; of a range, its two ends."""
    values = [
        each if isinstance(each, tuple) else (json.dumps(each.low), json.dumps(each.high))
        for each in sweep.vary.values()
    ]
    for point in itertools.product(*values):
        yield dict(zip(sweep.vary, point, strict=True))


def word(value: Any) -> str:
    """A plain value as a word of the command line, which is read back as it was."""
    return value if isinstance(value, str) and not _is_other(value) else json.dumps(value)


def _is_other(text: str) -> bool:
    """Whether a text would be read as a list or the like."""
    return text.lstrip().startswith(("[", "{", "'", '"')) or text.strip() in ("", "null", "true", "false")


def _sweep(values: Mapping[Any, Any], found: list[str]) -> Sweep:
    """The sweep as far as it can be understood; what cannot goes to `found`."""
    for key in values:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, 1)
            found.append(
                f"no setting {key}; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(KEYS)}")
            )
    points = values.get("points") or {}
    if not isinstance(points, dict):
        found.append(f"points is {points!r}; it names points and what each sets, such as {{base: {{}}, deep: {{...}}}}")
        points = {}
    vary = {name: _varied(name, value, found) for name, value in _section("vary", values.get("vary"), found).items()}
    seeds = values.get("seeds", [0])
    if not isinstance(seeds, list) or not seeds or not all(_is_count(seed, 0) for seed in seeds):
        found.append(f"seeds is {seeds!r}; it is a list of whole numbers from 0 up, such as [0, 1, 2]")
        seeds = [0]
    return Sweep(
        recipe=str(values.get("recipe", "")),
        set=_words("set", values.get("set"), found),
        vary=vary | ({POINT: tuple(map(str, points))} if points else {}),
        points={str(name): _words(f"points.{name}", section, found) for name, section in points.items()},
        seeds=tuple(dict.fromkeys(seeds)),
        search=values.get("search", "grid"),
        trials=values.get("trials"),
    )


def _words(key: str, section: Any, found: list[str]) -> dict[str, str]:
    """The settings of a section, each as a word of the command line."""
    return {name: word(value) for name, value in _section(key, section, found).items()}


def _section(key: str, section: Any, found: list[str]) -> dict[str, Any]:
    if section is not None and not isinstance(section, dict):
        found.append(f"{key} is {section!r}; it is a section of settings, such as {{train.max_steps: 300}}")
    return {str(name).replace("-", "_"): value for name, value in section.items()} if isinstance(section, dict) else {}


def _varied(name: str, value: Any, found: list[str]) -> tuple[str, ...] | Range:
    if isinstance(value, list) and value:
        return tuple(dict.fromkeys(map(word, value)))
    if isinstance(value, dict) and {"from", "to"} <= value.keys() <= {"from", "to", "log"}:
        low, high, log = _number(value["from"]), _number(value["to"]), value.get("log", False)
        if low is not None and high is not None and low < high and isinstance(log, bool) and (low > 0 or not log):
            return Range(low, high, log, all(_is_count(value[end], -math.inf) for end in ("from", "to")))
    found.append(
        f"vary.{name} is {value!r}; it is a list of values, or a range such as {{from: 1e-4, to: 1e-2, log: true}}, "
        "rising, and above 0 where it is logarithmic"
    )
    return ("null",)


def _number(value: Any) -> float | None:
    """YAML 1.1 reads 1e-4 as a text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and not isinstance(value, bool) else None


def _is_count(value: Any, least: float) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _problems(sweep: Sweep, values: Mapping[Any, Any]) -> Iterator[str]:
    names = set(setting_names())
    if not isinstance(values.get("recipe"), str):
        yield "recipe is missing; it names the recipe that is varied, such as `recipe: mini-2m`"
    if not sweep.vary and len(sweep.seeds) == 1:
        yield "nothing varies; vary holds settings and their values, such as {train.learning_rate: [1e-3, 3e-3]}"
    if sweep.points and (values.get("vary") or sweep.search != "grid"):
        yield "points are all that is tried; leave vary and search out, or points"
    settings: dict[str, Mapping[str, Any]] = {"set": sweep.set, "vary": {} if sweep.points else sweep.vary}
    settings |= {f"points.{name}": point for name, point in sweep.points.items()}
    for section, name in [(section, name) for section, found in settings.items() for name in found]:
        if name == "seed":
            yield f"{section}.seed: seeds are listed under `seeds`"
        elif name not in names:
            near = difflib.get_close_matches(name, sorted(names), 1)
            yield f"no setting {name}" + (f"; did you mean {near[0]}?" if near else "")
    for name in sweep.set.keys() & sweep.vary.keys():
        yield f"{name} stands under set and under vary; it is one or the other"
    if sweep.search not in ("grid", "random"):
        yield f"search is {sweep.search!r}; it is grid or random"
    elif sweep.search == "random" and not _is_count(sweep.trials, 1):
        yield f"trials is {sweep.trials!r}; a random search draws so many points, 1 or more"
    elif sweep.search == "grid":
        if sweep.trials is not None:
            yield "trials is for search: random; a grid has as many points as its values make"
        for name, value in sweep.vary.items():
            if isinstance(value, Range):
                yield f"vary.{name} is a range; a grid needs a list of values, or set search: random"


def _recipe_problems(sweep: Sweep) -> list[str]:
    """What is wrong with the recipes of the points, each problem once."""
    found: dict[str, None] = {}
    for point in itertools.islice(grid(sweep), CHECKED):
        try:
            load_recipe(sweep.recipe, {**sweep.set, **sweep.settings(point)})
        except UserError as error:
            found[str(error)] = None
    return list(found)


def as_plain(sweep: Sweep) -> dict[str, Any]:
    """The sweep as plain values."""
    return dataclasses.asdict(sweep)
