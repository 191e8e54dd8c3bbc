"""What lives as long as the process of the dashboard."""
