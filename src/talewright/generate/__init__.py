"""Generation with a trained model: `engine.Engine`, with the settings of `sampling.Sampling`."""
