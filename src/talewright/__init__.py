"""Talewright trains small GPTs that write stories, from scratch, and shows what they learned.

import talewright

recipe = talewright.load_recipe("quickstart")
run = talewright.fit(recipe)
print(run.generate("Once upon a time").text)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from talewright.cpus import limit_threads
from talewright.version import __version__ as __version__

limit_threads()  # before anything imports torch

__all__ = ["Run", "Sampling", "UserError", "fit", "load", "load_recipe", "plan_recipe", "resume"]

if TYPE_CHECKING:
    from talewright.api import Run, Sampling, fit, load, plan_recipe, resume
    from talewright.config import load_recipe
    from talewright.errors import UserError


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `talewright --help` must not wait for torch."""
    if name not in __all__:
        raise AttributeError(f"module talewright has no {name}")
    from importlib import import_module

    home = {"load_recipe": "config", "UserError": "errors"}.get(name, "api")
    return getattr(import_module(f"talewright.{home}"), name)
