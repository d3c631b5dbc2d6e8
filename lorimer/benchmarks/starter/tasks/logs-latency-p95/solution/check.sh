python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import json, re
got = json.load(open("p95.json"))
text = open("access.log").read()
paths = set(re.findall(r'"\S+ (/api/[^ ?]+)', text))
if set(got) != paths:
    sys.exit(print(f"PROBLEM: the endpoints are {sorted(paths)}"))
for path, v in got.items():
    n = len(re.findall(r'"\S+ ' + path + r'(?:\?\S*)? HTTP/1.1" (?!499)', text))
    if v["requests"] != n or not isinstance(v["p95_ms"], int):
        sys.exit(print(f"PROBLEM: {path} has {n} requests that count, or a number is not whole"))
    one, two = text.split("# access log, format 2")
    ms = [float(s) * 1000 for s in re.findall(r'"\S+ ' + path + r'(?:\?\S*)? HTTP/1.1" (?!499)\d+ \d+ ([\d.]+)', one)]
    ms += [int(s) for s in re.findall(r'"\S+ ' + path + r'(?:\?\S*)? HTTP/1.1" (?!499)\d+ (\d+) \d+', two)]
    above = sum(m > v["p95_ms"] + 0.5 for m in ms)
    upto = sum(m < v["p95_ms"] - 0.5 for m in ms)
    if above > 0.05 * n or upto >= 0.95 * n:
        sys.exit(print(f"PROBLEM: {above} of {n} requests to {path} took longer than {v['p95_ms']} ms"))
print("OK")
EOF
