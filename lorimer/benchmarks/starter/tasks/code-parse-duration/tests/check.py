"""Runs the fixed module in a process of its own on cases that the task does not show."""
import json
import resource
import subprocess
import sys

PROBE = """
import json, sys
sys.path.insert(0, "/app")
import durations
def outcome(call):
    try:
        return eval(call)
    except Exception as error:
        return type(error).__name__
print(json.dumps([outcome(call) for call in json.load(sys.stdin)]))
"""
CASES = [
    ("durations.parse_duration('1h30m')", 5400),
    ("durations.parse_duration('90s')", 90),
    ("durations.parse_duration('2w')", 1209600),
    ("durations.parse_duration('1W2D')", 777600),
    ("durations.parse_duration('5M')", 300),
    ("durations.parse_duration(' 1h 30m ')", 5400),
    ("durations.parse_duration('1h\\t2s')", 3602),
    ("durations.parse_duration('0')", 0),
    ("durations.parse_duration('0s')", 0),
    ("durations.parse_duration('1.5h')", 5400),
    ("durations.parse_duration('1h 0.5m')", 3630),
    ("durations.parse_duration('0.5s')", 1),
    ("durations.parse_duration('2.5s')", 3),
    ("durations.parse_duration('1.4s')", 1),
    ("durations.parse_duration('0.0083m')", 0),
    ("durations.parse_duration('')", 'ValueError'),
    ("durations.parse_duration('  ')", 'ValueError'),
    ("durations.parse_duration('30m1h')", 'ValueError'),
    ("durations.parse_duration('5m5m')", 'ValueError'),
    ("durations.parse_duration('10')", 'ValueError'),
    ("durations.parse_duration('-5m')", 'ValueError'),
    ("durations.parse_duration('5 m')", 'ValueError'),
    ("durations.parse_duration('1.5h30m')", 'ValueError'),
    ("durations.parse_duration('h')", 'ValueError'),
    ("durations.parse_duration('1h30')", 'ValueError'),
    ("durations.parse_duration('abc')", 'ValueError'),
    ("durations.parse_duration('1h,30m')", 'ValueError'),
    ("durations.parse_duration('5x')", 'ValueError'),
    ("durations.parse_duration('1h x')", 'ValueError'),
    ("durations.parse_duration('1..5h')", 'ValueError'),
    ("durations.parse_duration('00:10')", 'ValueError'),
    ("durations.parse_duration('1e3s')", 'ValueError'),
    ("durations.parse_duration('+5m')", 'ValueError'),
    ("durations.parse_duration('5m-')", 'ValueError'),
    ('durations.format_duration(694861)', '1w1d1h1m1s'),
    ('durations.format_duration(0)', '0'),
    ('durations.format_duration(5400)', '1h30m'),
    ('durations.format_duration(604800)', '1w'),
    ('durations.format_duration(59)', '59s'),
    ('durations.format_duration(-1)', 'ValueError'),
    ("type(durations.parse_duration('1.5h')).__name__", 'int'),
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
