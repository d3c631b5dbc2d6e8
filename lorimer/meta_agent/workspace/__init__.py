"""From a user's workspace and its settings to a study that is open."""
