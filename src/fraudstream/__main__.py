"""`python -m fraudstream` is the command `fraudstream`."""

from fraudstream.cli import main

if __name__ == "__main__":
    main()
