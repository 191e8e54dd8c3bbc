"""Requests and responses of the dashboard: routing, security, presentation."""
