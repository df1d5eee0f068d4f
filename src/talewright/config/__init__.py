"""A recipe is the whole experiment. It is read from a packaged name or a YAML file, changed by `section.key` overrides,
checked as a whole, and written into the run folder, from which alone the run can be repeated.
"""

from talewright.config.data import HUB_TINYSTORIES, DataConfig
from talewright.config.loading import (
    flat,
    load_recipe,
    recipe_from_dict,
    recipe_names,
    recipe_to_dict,
    recipe_to_yaml,
    setting_names,
    takes_whole_numbers,
)
from talewright.config.model import ModelConfig
from talewright.config.optimizer import OptimizerConfig
from talewright.config.recipe import Recipe
from talewright.config.schedule import ScheduleConfig
from talewright.config.strict_yaml import read_yaml
from talewright.config.tokenizer import EOT, TokenizerConfig
from talewright.config.train import BUDGETS, PROMPTS, TrainConfig

__all__ = [
    "BUDGETS",
    "EOT",
    "HUB_TINYSTORIES",
    "PROMPTS",
    "DataConfig",
    "ModelConfig",
    "OptimizerConfig",
    "Recipe",
    "ScheduleConfig",
    "TokenizerConfig",
    "TrainConfig",
    "flat",
    "load_recipe",
    "read_yaml",
    "recipe_from_dict",
    "recipe_names",
    "recipe_to_dict",
    "recipe_to_yaml",
    "setting_names",
    "takes_whole_numbers",
]
