"""Trains a model from a CSV file."""
