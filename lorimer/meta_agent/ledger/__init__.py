"""What is told of a study: its experiments, what came of each, and what speaks for and against it."""
