"""The trace store: every trajectory, verdict and decision."""
