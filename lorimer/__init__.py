"""lorimer: improves AI agent harnesses while their owner sleeps."""

__version__ = "0.1.0"
