"""The command `recipes`."""

import shutil

from tyro.conf import Positional

from talewright.cli.common import Json, Overrides, to_json
from talewright.cli.words import show
from talewright.config import load_recipe, recipe_names
from talewright.errors import UserError


def recipes(
    overrides: Overrides,
    name: Positional[str | None] = None,
    explain: bool = False,
    all: bool = False,
    json: Json = False,
) -> None:
    """List the recipes, or show one: its parameters, its cost, the formats it exports to and all its settings.

    Args:
        name: A recipe's name, or a YAML file. Default: list all recipes.
        explain: With a name: say what every setting means.
        all: Also list the recipes that would take more than a month on this machine.
    """
    from talewright.cli import tables

    if explain and name is None:
        raise UserError("--explain needs a recipe, as in: talewright recipes quickstart --explain")
    if explain and json:
        raise UserError("--explain is a text for readers; leave --json out, or --explain")
    if name is not None:
        recipe = load_recipe(name, overrides)
        if explain:
            from talewright.cli.settings import explain as explained

            show(explained(recipe, shutil.get_terminal_size().columns))
        else:
            show(to_json(tables.recipe_facts(recipe)) if json else tables.recipe_page(recipe))
        return
    found = [load_recipe(each, overrides) for each in recipe_names()]
    if json:
        show(to_json([tables.recipe_facts(recipe) for recipe in found]))
    else:
        tables.print_recipes(found, every=all)
