"""The command `fraudstream`: every command reads the settings and calls its room; one message and a code for errors."""

from fraudstream.cli.entry import main

__all__ = ["main"]
