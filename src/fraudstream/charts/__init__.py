"""Charts as SVG, drawn on the server for the report and for the pages of the dashboard."""
