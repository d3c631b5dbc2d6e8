"""Reads the traces, edits the harness, and lets the gate decide."""
