"""The parts of the payments simulator; `transactions/simulator.py` puts them together."""
