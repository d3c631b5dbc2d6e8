"""One command in a container: how it is run, listened to and ended."""
