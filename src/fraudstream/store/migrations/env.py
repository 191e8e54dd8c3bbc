"""What alembic runs: the scripts in `versions/`, on the connection that `database.py` holds open for it."""

from alembic import context

from fraudstream.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
