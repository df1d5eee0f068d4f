"""Packages of the extra `data`: what is broken is not called missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from talewright.errors import UserError


def import_package(name: str, reader: str) -> Any:
    """Import a module of an extra package. Raises UserError, which begins with `reader`, if it cannot be used."""
    package = name.partition(".")[0]
    try:
        if (
            getattr(import_module(package), "__file__", None) is not None
        ):  # None for a folder that has its name by chance
            return import_module(name)
    except Exception as error:  # a broken installation may raise anything
        if not isinstance(error, ModuleNotFoundError) or error.name != package:
            reason = (str(error).strip().splitlines() or [""])[0]
            raise UserError(
                f"{reader} the package {package}, which is installed but does not work ({type(error).__name__}: "
                f"{reason[:200]}); install it again: pip install --force-reinstall {package}"
            ) from None
    raise UserError(f'{reader} another package: pip install "talewright[data]"')
