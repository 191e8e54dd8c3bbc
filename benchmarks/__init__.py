"""Measures fraudstream: the whole system by `python -m benchmarks`, one question each by the modules beside it."""
