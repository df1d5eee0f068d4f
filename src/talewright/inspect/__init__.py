"""Inspecting a run: its training curves, and its model's activations, attention, weights and predictions."""

from talewright.inspect.activations import patch, record

__all__ = ["patch", "record"]
