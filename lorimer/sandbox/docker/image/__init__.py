"""Images of task containers: found, pulled or built, and containers copied as they stand."""
