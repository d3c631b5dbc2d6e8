"""What a harness asks for while it runs, and what it is told."""
