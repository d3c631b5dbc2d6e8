"""One trial, start to verdict, and many of them at once."""
