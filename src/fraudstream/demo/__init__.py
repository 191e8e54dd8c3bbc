"""`fraudstream demo`: the whole system under one command; each part is an own process, started by its own command."""
