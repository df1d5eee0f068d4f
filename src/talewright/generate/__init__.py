"""Telling stories with a trained model: `engine.Engine`, by the settings of `sampling.Sampling`."""
