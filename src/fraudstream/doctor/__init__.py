"""Checks this machine and what is configured, and tells what to do about each thing that is wrong."""
