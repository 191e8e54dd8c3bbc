"""The earliest stores that are brought up to date: those of release 112b93f; a new store has its tables at once."""

revision = "0008"
down_revision = None


def upgrade() -> None:
    """Nothing: a store of this revision has its tables."""
