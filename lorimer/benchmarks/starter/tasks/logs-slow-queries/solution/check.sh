python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import json
got = json.load(open("report.json"))
good, bad = [], 0
for line in open("queries.jsonl").read().split("\n"):
    try:
        good.append(json.loads(line))
    except ValueError:
        bad += line != ""
good = [g for g in good if g["level"] == "query"]
if got["malformed"] != bad:
    sys.exit(print(f"PROBLEM: {bad} lines that are not empty are not valid JSON, not {got['malformed']}"))
if [t["table"] for t in got["tables"]] != [t["table"] for t in sorted(got["tables"], key=lambda t: -t["total_ms"])]:
    sys.exit(print("PROBLEM: not sorted by total time"))
if {t["table"]: t["queries"] for t in got["tables"]} != {
    n: sum(g["table"].lower() == n for g in good) for n in {g["table"].lower() for g in good}}:
    sys.exit(print("PROBLEM: tables or numbers of queries are wrong"))
for t in got["tables"]:
    ms = [(float(g["took"].rstrip("mus")) * {"u": 0.001, "m": 1}.get(g["took"][-2], 1000), g["ts"]) for g in good if g["table"].lower() == t["table"]]
    if abs(sum(m for m, _ in ms) - t["total_ms"]) > 0.2 or (max(m for m, _ in ms), t["slowest_at"]) not in ms:
        sys.exit(print(f"PROBLEM: {t['table']} took {sum(m for m, _ in ms):.1f} ms in all, mind the units us, ms, s"))
print("OK")
EOF
