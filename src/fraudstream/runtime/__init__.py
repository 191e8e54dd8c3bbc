"""What the machine gives: Java, jars, ports, child processes. Nothing here knows of payments."""
