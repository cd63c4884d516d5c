"""Where data comes from, how it is checked, split and scaled: what `tuner.training.data` is made of."""
