"""How candidates come to be: what the meta-agent is given, and what becomes of an edit."""
