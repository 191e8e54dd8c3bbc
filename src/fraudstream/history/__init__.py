"""What an entity did before: the declaration of history features, entity ids, daily profiles and archive files."""
