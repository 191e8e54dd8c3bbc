"""Draws charts as SVG for the report and the dashboard."""
