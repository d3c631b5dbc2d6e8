"""Many trials at once: in which order they begin, where they run, and what is counted of each attempt."""
