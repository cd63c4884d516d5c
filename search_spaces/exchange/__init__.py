"""Spaces from other tools, and to them: W&B sweeps and Optuna JSON distributions."""
