"""The run folder: what training writes, and everything else reads."""

from talewright.run.folder import RunFolder

__all__ = ["RunFolder"]
