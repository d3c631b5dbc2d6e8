"""Opens a study from a user's workspace and its settings."""
