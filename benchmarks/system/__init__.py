"""Runs the whole system on this machine and measures it."""
