python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import csv, json
rejected = json.load(open("rejected.json"))
rows = list(csv.DictReader(open("payments.csv", encoding="utf-8")))
batch, want = None, {}
for line in open("batches.dat", encoding="latin-1"):
    if line[:2] == "10":
        batch = int(line[2:8]); want[batch] = [0, 0, []]
    if line[:2] == "20":
        want[batch][2].append(int(line[55] + line[43:55]))
    if line[:2] == "90":
        want[batch][:2] = [int(line[2:8]), int(line[23] + line[8:23])]
bad = [b for b, (n, s, p) in want.items() if (n, s) != (len(p), sum(p))]
if rejected != bad:
    sys.exit(print(f"PROBLEM: the trailers of batches {bad} do not agree with their payments, rejected are {rejected}"))
if [round(float(r["amount"]) * 100) for r in rows] != [x for b in want if b not in bad for x in want[b][2]]:
    sys.exit(print("PROBLEM: amounts or their signs differ from the records"))
for r in rows:
    if len(r["account"]) != 10 or r["name"] != r["name"].strip() or "\ufffd" in r["name"] or not r["date"].startswith("2025-07"):
        sys.exit(print(f"PROBLEM: account, name or date of {r}"))
print("OK")
EOF
