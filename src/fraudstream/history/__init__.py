"""What an entity did before: the declaration of history features, entity ids, labels and daily profiles."""
