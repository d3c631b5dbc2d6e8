"""Writing the store: one thread, one transaction for what belongs together."""
