"""The active model of a folder, its history, and the models beside it."""
