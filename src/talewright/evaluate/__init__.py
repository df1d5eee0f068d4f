"""Evaluation of trained models: likelihood, multiple choice, generated stories, memorization, a judge."""

from talewright.errors import UserError


class UnavailableError(UserError):
    """Figures cannot be computed here, although nothing is wrong. The message takes their place."""
