"""No test of any room talks to a real provider."""

from __future__ import annotations

from lorimer.models.guard import forbid_real_requests

forbid_real_requests()
