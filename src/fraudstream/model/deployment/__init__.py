"""Manages the active model of a directory, its deployment history and the other models there."""
