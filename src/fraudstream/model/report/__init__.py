"""Renders an artifact's `report.html` from its evaluation and manifest."""
