"""Measures other systems on the same topic; those run in environments of their own, so nothing is imported here."""
