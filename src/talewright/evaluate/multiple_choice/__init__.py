"""Multiple-choice questions, answered by likelihood."""
