"""Where a full run may end before its plan does."""
