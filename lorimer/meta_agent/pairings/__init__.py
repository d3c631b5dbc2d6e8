"""Grids of studies: task models against meta models, and what `same minus cross` comes to."""
