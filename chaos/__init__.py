"""The suite that tries to break the guarantee, `make chaos`: real processes, real faults, a checker of its own."""
