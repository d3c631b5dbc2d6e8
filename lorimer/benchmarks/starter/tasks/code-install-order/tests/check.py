"""Runs the fixed module in a process of its own on cases that the task does not show."""
import json
import resource
import subprocess
import sys

PROBE = """
import json, sys
sys.path.insert(0, "/app")
import pkgorder
def raised(needs):
    try:
        pkgorder.order(needs)
    except pkgorder.CycleError as error:
        return error
pkgorder.raised = raised
def outcome(call):
    try:
        return eval(call)
    except Exception as error:
        return type(error).__name__
print(json.dumps([outcome(call) for call in json.load(sys.stdin)]))
"""
CASES = [
    ('pkgorder.order({})', []),
    ("pkgorder.order({'b': [], 'a': ['c']})", ['b', 'c', 'a']),
    ("pkgorder.order({'a': ['z'], 'z': [], 'm': []})", ['m', 'z', 'a']),
    ("pkgorder.order({'app': ['lib', 'lib', 'core'], 'lib': ['core']})", ['core', 'lib', 'app']),
    ("pkgorder.order({'d': ['b', 'c'], 'c': ['a'], 'b': ['a'], 'e': []})", ['a', 'b', 'c', 'd', 'e']),
    ("pkgorder.order({'a': ['a']})", 'CycleError'),
    ("pkgorder.order({'a': ['b'], 'b': ['a']})", 'CycleError'),
    ("len(pkgorder.order({f'p{i:06d}': [f'p{i+1:06d}'] for i in range(100000)}))", 100001),
    ("pkgorder.order({f'p{i:06d}': [f'p{i-1:06d}'] for i in range(1, 30000)})[-1]", 'p029999'),
    ("[e.cycle for e in [pkgorder.raised({'a': ['a']})]][0]", ['a', 'a']),
    ("[e.cycle for e in [pkgorder.raised({'b': ['a'], 'a': ['b']})]][0]", ['a', 'b', 'a']),
    ("[e.cycle for e in [pkgorder.raised({'x': ['q'], 'q': ['r'], 'r': ['s'], 's': ['q'], 'ok': []})]][0]", ['q', 'r', 's', 'q']),
    ("[e.cycle for e in [pkgorder.raised({'c': ['b'], 'b': ['d'], 'd': ['c'], 'a': ['c']})]][0]", ['b', 'd', 'c', 'b']),
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
