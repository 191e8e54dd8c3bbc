"""The pages of the dashboard and the routes of its API."""
