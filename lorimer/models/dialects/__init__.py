"""How each API speaks, a file for each."""
