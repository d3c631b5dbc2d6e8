"""Runs the fixed module in a process of its own on cases that the task does not show."""
import json
import resource
import subprocess
import sys

PROBE = """
import json, sys
sys.path.insert(0, "/app")
import rooms
def outcome(call):
    try:
        return eval(call)
    except Exception as error:
        return type(error).__name__
print(json.dumps([outcome(call) for call in json.load(sys.stdin)]))
"""
CASES = [
    ('rooms.merge([])', []),
    ('rooms.merge([[60,120],[0,30]])', [[0, 30], [60, 120]]),
    ('rooms.merge([[0,30],[30,60]])', [[0, 60]]),
    ('rooms.merge([[0,100],[10,20],[90,95]])', [[0, 100]]),
    ('rooms.merge([[5,5],[7,9]])', [[7, 9]]),
    ('rooms.merge([[50,50],[0,10],[10,10],[10,12]])', [[0, 12]]),
    ('rooms.merge([[9,3]])', 'ValueError'),
    ('(lambda b: (rooms.merge(b), b)[1])([[5,6],[1,2]])', [[5, 6], [1, 2]]),
    ('(lambda b: (rooms.merge(b), b)[1])([[1,5],[2,9]])', [[1, 5], [2, 9]]),
    ('rooms.merge([(1, 4), (2, 6)])', [[1, 6]]),
    ('rooms.free([[540,600],[570,580]],480,1020)', [[480, 540], [600, 1020]]),
    ('rooms.free([[400,500]],480,1020)', [[500, 1020]]),
    ('rooms.free([[300,400]],480,1020)', [[480, 1020]]),
    ('rooms.free([[1000,1100]],480,1020)', [[480, 1000]]),
    ('rooms.free([[1100,1200]],480,1020)', [[480, 1020]]),
    ('rooms.free([[0,1440]],480,1020)', []),
    ('rooms.free([],5,5)', []),
    ('rooms.free([[600,600]],480,1020)', [[480, 1020]]),
    ('rooms.free(((500,510),(505,520)),480,520)', [[480, 500]]),
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
