"""What follows an agent's end, up to its reward: what it left running, its verifier, what it changed that could make it pass."""
