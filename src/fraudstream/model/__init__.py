"""Model training, evaluation, artifacts and deployment."""
