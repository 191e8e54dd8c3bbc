"""The relay: posts the records of the output topics to the dashboard's API."""
