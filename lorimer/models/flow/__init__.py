"""How many requests are in flight at a provider at once, over all processes of this machine that use the same key."""
