"""Simulates card payments with frauds among them."""
