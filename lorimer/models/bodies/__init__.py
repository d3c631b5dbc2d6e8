"""What is sent to each API and what is read from its answers, as JSON values.

Pure, and of the standard library and `harness.api` alone: an exported harness carries these files, so it says to a provider
exactly what it said while it was measured.
"""
