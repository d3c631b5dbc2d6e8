"""What trials say in numbers: scores, tests, and the levels that these are held to."""
