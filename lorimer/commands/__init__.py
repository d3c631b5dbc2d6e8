"""The commands, one file per group: each parses, calls one function, prints."""
