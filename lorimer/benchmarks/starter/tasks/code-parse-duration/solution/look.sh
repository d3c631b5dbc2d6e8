cat durations.py; sed -n '/## Durations/,/## Sizes/p' SPEC.md
