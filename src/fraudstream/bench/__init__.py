"""Measures the whole system on this machine: `fraudstream bench`; developer studies are in `benchmarks/`."""
