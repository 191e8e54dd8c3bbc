"""Simulates card payments, including fraud."""
