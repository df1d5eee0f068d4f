"""Talewright trains small GPTs from scratch to tell stories, and shows what they learned."""

__version__ = "0.1.0"
