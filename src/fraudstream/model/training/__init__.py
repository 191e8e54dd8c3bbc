"""Trains a model on a CSV."""
