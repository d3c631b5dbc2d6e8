"""Recorded trials put to use: what an edit touches, what replays unchanged, spot-checks in pairs."""
