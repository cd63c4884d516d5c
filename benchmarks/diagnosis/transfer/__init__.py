"""The same thresholds on data, networks and loops that no calibration saw; run by ``python -m``."""
