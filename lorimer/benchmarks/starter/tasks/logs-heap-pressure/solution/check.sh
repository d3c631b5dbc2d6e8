python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import json, re
got = json.load(open("alarm.json"))
lines = [l for l in open("gc.log") if "Pause Full" in l]
mb = lambda s: float(s[:-1]) * (1024 if s[-1] == "G" else 1)
share = [(int(re.search(r"GC\((\d+)", l)[1]), *map(mb, re.search(r"->(\S+)\((\S+)\)", l).groups())) for l in lines]
hot = [(n, after > 0.9 * top) for n, after, top in share]
numbers = [n for n, _ in hot]
i = numbers.index(got["gc_ids"][0])
if [n for n, h in hot[i:i + 3] if h] != got["gc_ids"]:
    sys.exit(print(f"PROBLEM: {got['gc_ids']} are not three full collections in a row above 90% of their own maximum"))
if any(all(h for _, h in hot[j:j + 3]) for j in range(i)):
    sys.exit(print("PROBLEM: there is an earlier alarm"))
if not lines[i + 2].startswith(f"[{got['first_alarm_s']:.3f}s]"):
    sys.exit(print("PROBLEM: the time is not that of the third collection"))
if abs(sum(float(re.search(r"([\d.]+)ms", l)[1]) for l in lines) - got["full_pauses_ms"]) > 0.001:
    sys.exit(print("PROBLEM: the full pauses do not add up"))
print("OK")
EOF
