"""Where untrusted code runs: task sandboxes and harness jails."""
