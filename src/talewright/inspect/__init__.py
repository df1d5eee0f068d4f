"""What can be seen of a run: its curves, and what goes on inside its model."""

from talewright.inspect.activations import patch, record

__all__ = ["patch", "record"]
