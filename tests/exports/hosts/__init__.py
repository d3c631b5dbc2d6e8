"""Files that are copied out and run in a host's own virtual environment, where there is neither lorimer nor pytest."""
