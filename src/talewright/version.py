"""The version of this package, in a module of its own so that nothing imports the package's `__init__` for it."""

__version__ = "0.2.0.dev0"
