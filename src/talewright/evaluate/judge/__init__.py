"""Stories graded by a large language model."""
