"""Turns the columns of a transaction into the model's feature vector."""
