"""What runs inside the jail (`api`, `host`), the seed harness, and what lorimer does to harness files."""
