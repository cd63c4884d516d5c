"""Many trials: strategies, the objective, and the ask/tell loop that workers run."""
