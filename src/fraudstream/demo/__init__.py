"""`fraudstream demo`: runs the whole system, each part as a process of its own."""
