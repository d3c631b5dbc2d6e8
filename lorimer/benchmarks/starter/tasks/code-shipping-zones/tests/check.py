"""Runs the fixed module in a process of its own on cases that the task does not show."""
import json
import resource
import subprocess
import sys

PROBE = """
import json, sys
sys.path.insert(0, "/app")
import zones
def outcome(call):
    try:
        return eval(call)
    except Exception as error:
        return type(error).__name__
print(json.dumps([outcome(call) for call in json.load(sys.stdin)]))
"""
CASES = [
    ("zones.zone('00000')", 'A'),
    ("zones.zone('00040')", 'A'),
    ("zones.zone('00041')", 'C'),
    ("zones.zone('00114')", 'A'),
    ("zones.zone('00216')", 'C'),
    ("zones.zone('99959')", 'C'),
    ("zones.zone('99999')", 'C'),
    ("zones.zone('00550')", None),
    ("zones.zone('99698')", None),
    ("zones.zone('01194')", None),
    ("zones.zone('04109')", 'B'),
    ("zones.zone('50000')", 'D'),
    ("zones.cost('00000', 1)", 390),
    ("zones.cost('00000', 2000)", 390),
    ("zones.cost('00000', 2001)", 480),
    ("zones.cost('50000', 3000)", 1450),
    ("zones.cost('50000', 3001)", 1710),
    ("zones.cost('00254', 29999)", 3600),
    ("zones.cost('00231', 30000)", 3600),
    ("zones.cost('00231', 30001)", 'ValueError'),
    ("zones.cost('04109', 0)", 'ValueError'),
    ("zones.cost('04109', -5)", 'ValueError'),
    ("zones.cost('00553', 500)", 'ValueError'),
    ("zones.cost('00081', 1500)", 1190),
]
# Seconds of a processor: those of a clock would tell of what else the machine does.
run = subprocess.run(
    [sys.executable, "-c", PROBE], input=json.dumps([call for call, _ in CASES]), capture_output=True, text=True, timeout=100,
    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (10, 10)),
)
got = json.loads(run.stdout.splitlines()[-1])
wrong = sum(json.dumps(a) != json.dumps(b) for a, (_, b) in zip(got, CASES, strict=True))
if wrong:
    sys.exit(f"{wrong} of {len(CASES)} cases are wrong")
