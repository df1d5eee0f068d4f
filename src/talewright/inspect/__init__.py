"""What can be seen of a run: its curves, and what goes on inside its model."""

from talewright.inspect.recording import patch, record

__all__ = ["patch", "record"]
