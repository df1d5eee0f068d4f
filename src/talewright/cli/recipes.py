"""The command `recipes`."""

from tyro.conf import Positional

from talewright.cli.common import Json, Overrides, to_json
from talewright.config import load_recipe, recipe_names


def recipes(overrides: Overrides, name: Positional[str | None] = None, json: Json = False) -> None:
    """List the recipes, or show one: all its settings, its parameters and its cost.

    Args:
        name: A recipe's name, or a YAML file. Default: list all recipes.
    """
    from talewright.cli import tables

    if name is not None:
        recipe = load_recipe(name, overrides)
        print(to_json(tables.recipe_facts(recipe)) if json else tables.recipe_page(recipe))
        return
    found = [load_recipe(each, overrides) for each in recipe_names()]
    if json:
        print(to_json([tables.recipe_facts(recipe) for recipe in found]))
    else:
        tables.print_recipes(found)
