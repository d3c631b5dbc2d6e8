python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import json, re
got = {g["ip"]: g for g in json.load(open("banned.json"))}
if list(got) != sorted(got) or not got:
    sys.exit(print("PROBLEM: empty, or not sorted by ip"))
times = {}
for line in open("auth.log"):
    if m := re.match(r"(\w+) +(\d+) (\d+):(\d+):(\d+) .*sshd\[.*Failed password for .* from (\S+) port", line):
        second = ((int(m[2]) * 24 + int(m[3])) * 60 + int(m[4])) * 60 + int(m[5])
        fold = re.search(r"repeated (\d+) times", line)
        times.setdefault(m[6], []).extend([(second, f"{m[1]} {int(m[2]):02d} {m[3]}:{m[4]}:{m[5]}")] * (int(fold[1]) if fold else 1))
for ip, t in times.items():
    hits = [t[i][1] for i in range(4, len(t)) if t[i][0] - t[i - 4][0] <= 600]
    if bool(hits) != (ip in got):
        sys.exit(print(f"PROBLEM: {ip} with {len(t)} failures is wrongly " + ("left out" if hits else "listed")))
    if hits and (got[ip]["failures"] != len(t) or got[ip]["blocked_at"] != hits[0]):
        sys.exit(print(f"PROBLEM: {ip} failed {len(t)} times, folded messages counted; see its numbers"))
print("OK")
EOF
