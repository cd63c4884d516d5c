"""The version of the distribution `symptune`."""

__version__ = "0.1.0"
