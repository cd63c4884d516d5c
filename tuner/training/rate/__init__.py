"""The parts of the learning-rate range test; `tuner.training.learning_rate_range` puts them together."""
