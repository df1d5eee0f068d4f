"""How well a model knows stories that it was not trained on."""
