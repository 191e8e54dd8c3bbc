"""The four-script system as usually written."""
