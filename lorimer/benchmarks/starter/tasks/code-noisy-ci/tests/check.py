"""Runs the fixed module in a process of its own on cases that the task does not show."""
import json
import resource
import subprocess
import sys

PROBE = """
import json, sys
sys.path.insert(0, "/app")
import receipt
def outcome(call):
    try:
        return eval(call)
    except Exception as error:
        return type(error).__name__
print(json.dumps([outcome(call) for call in json.load(sys.stdin)]))
"""
CASES = [
    ('receipt.to_text(-5)', '-0.05 EUR'),
    ("receipt.to_text(1205, 'CHF')", '12.05 CHF'),
    ('receipt.to_text(-123456789)', '-1,234,567.89 EUR'),
    ('receipt.to_text(0)', '0.00 EUR'),
    ('receipt.to_text(-100)', '-1.00 EUR'),
    ("list(receipt.from_text('1,234.50 EUR'))", [123450, 'EUR']),
    ("list(receipt.from_text('-0.05 EUR'))", [-5, 'EUR']),
    ("list(receipt.from_text('-1,000.10 CHF'))", [-100010, 'CHF']),
    ("list(receipt.from_text(' 7 '))", [700, 'EUR']),
    ("list(receipt.from_text('-7 USD'))", [-700, 'USD']),
    ("receipt.from_text('3.5 EUR')", 'ValueError'),
    ("receipt.from_text('3.505')", 'ValueError'),
    ("receipt.from_text('x')", 'ValueError'),
    ('receipt.column([5, 123456, -99])', ['    0.05 EUR', '1,234.56 EUR', '   -0.99 EUR']),
    ('receipt.column([])', []),
    ("[list(receipt.from_text(receipt.to_text(c, 'SEK'))) == [c, 'SEK'] for c in (-1, -99, -101, 9, 10**9)]", [True, True, True, True, True]),
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
