"""Runs the fixed module in a process of its own on cases that the task does not show."""
import json
import resource
import subprocess
import sys

PROBE = """
import json, sys
sys.path.insert(0, "/app")
import bill
def outcome(call):
    try:
        return eval(call)
    except Exception as error:
        return type(error).__name__
print(json.dumps([outcome(call) for call in json.load(sys.stdin)]))
"""
CASES = [
    ('bill.split(100, [1, 1, 1])', [34, 33, 33]),
    ('bill.split(1000, [3, 3, 1])', [429, 428, 143]),
    ('bill.split(1, [1, 1])', [1, 0]),
    ('bill.split(0, [1, 2])', [0, 0]),
    ('bill.split(999, [1, 0, 2])', [333, 0, 666]),
    ('bill.split(1000000000000000007, [1, 1, 1])', [333333333333333336, 333333333333333336, 333333333333333335]),
    ('bill.split(5, [0, 0, 1])', [0, 0, 5]),
    ('bill.split(7, [5, 5, 5, 5, 5])', [2, 2, 1, 1, 1]),
    ('bill.split(12345, [17, 29, 3, 8])', [3682, 6281, 650, 1732]),
    ('bill.split(2, [1, 1, 1])', [1, 1, 0]),
    ('bill.split(100000000000000000001, [3, 7])', [30000000000000000000, 70000000000000000001]),
    ('bill.split(-100, [1, 1, 1])', [-34, -33, -33]),
    ('bill.split(-1001, [2, 5])', [-286, -715]),
    ('bill.split(100, [])', 'ValueError'),
    ('bill.split(100, [0, 0])', 'ValueError'),
    ('bill.split(100, [1, -1, 3])', 'ValueError'),
    ('all(type(x) is int for x in bill.split(10, [1, 2]))', True),
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
