cat durations.py SPEC.md
