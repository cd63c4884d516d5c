"""Telemetry of a training loop that somebody else wrote: `tuner.watch`."""
