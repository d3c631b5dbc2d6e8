"""A study in a terminal, as its web page shows it: from the store alone, whoever runs it."""
