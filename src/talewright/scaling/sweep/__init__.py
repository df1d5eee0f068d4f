"""Sweeps: one recipe trained with many settings and seeds, as the trials of an Optuna study."""
