"""The databases that a trace store may lie in, each behind `base.Database`; nobody else knows which one it is."""
