"""From the end of the agent to a reward: what it left running, its verifier, and what it changed that could have made it pass."""
