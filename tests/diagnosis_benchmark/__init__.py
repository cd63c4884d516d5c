"""Tests of benchmarks/diagnosis: its lists, its arithmetic, and a small slice of it."""
