"""The alembic scripts that bring an alert store to the present tables; `database.py` runs them at opening."""
