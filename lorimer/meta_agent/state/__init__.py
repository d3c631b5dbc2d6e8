"""A study as its rows tell it: what was tried, what was decided, what comes next."""
