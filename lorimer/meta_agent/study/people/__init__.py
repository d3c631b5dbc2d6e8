"""What people ask of a study and decide about it, and what they are told while it runs."""
