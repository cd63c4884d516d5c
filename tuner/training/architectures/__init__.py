"""The built-in networks: what `tuner.training.models` is made of."""
