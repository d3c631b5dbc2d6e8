"""What holds for the tests of every room: none talks to a real provider, and none is changed by how the suite was started."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

from lorimer.models.guard import forbid_real_requests

forbid_real_requests()
# How fast examples are made says what else this machine does, not whether the code is right.
settings.register_profile("lorimer", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lorimer")
# A suite that was started in the background has SIGINT ignored, and so would every program that a test starts: Ctrl-C at a
# question would wait forever.
signal.signal(signal.SIGINT, signal.default_int_handler)
