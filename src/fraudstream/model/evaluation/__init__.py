"""Evaluates scores: figures with their intervals, calibration, thresholds."""
