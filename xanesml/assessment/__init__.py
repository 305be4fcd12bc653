"""Assessment: how good a model is, in numbers and words."""
