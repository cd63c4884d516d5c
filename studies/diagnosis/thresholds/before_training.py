"""The numbers that decide over code, data and the untrained network."""
