"""A recipe is the whole experiment. It is read from a packaged name or a YAML file, changed by ``section.key``
overrides, checked as a whole, and written into the run folder, from which alone the run can be repeated.
"""

from talewright.config.reading import (
    load_recipe,
    read_yaml,
    recipe_from_dict,
    recipe_names,
    recipe_to_dict,
    recipe_to_yaml,
    setting_names,
)
from talewright.config.schema import (
    BUDGETS,
    EOT,
    HUB_TINYSTORIES,
    PROMPTS,
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    Recipe,
    ScheduleConfig,
    TokenizerConfig,
    TrainConfig,
)

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
    "load_recipe",
    "read_yaml",
    "recipe_from_dict",
    "recipe_names",
    "recipe_to_dict",
    "recipe_to_yaml",
    "setting_names",
]
