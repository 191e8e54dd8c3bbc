"""The command line `fraudstream`: its commands, their options and their error handling."""

from fraudstream.cli.entry import main

__all__ = ["main"]
