"""Access to the machine: Java, jars, JVMs, files, ports and child processes."""
