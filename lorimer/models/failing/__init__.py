"""What a provider's failure means, and what is done about it."""
