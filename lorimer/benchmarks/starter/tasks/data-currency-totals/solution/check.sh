python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import json
got = json.load(open("revenue.json"))
cur = json.load(open("currencies.json"))
rows = {p["payment"]: p for p in map(json.loads, open("payments.jsonl")) if p["status"] == "captured"}
if sum(got["payments"].values()) != len(rows):
    sys.exit(print(f"PROBLEM: {sum(got['payments'].values())} payments counted, but {len(rows)} distinct ones were captured"))
for code, usd in got["usd"].items():
    rough = sum(p["amount"] / 10 ** cur[code]["minor_digits"] for p in rows.values() if p["currency"].upper() == code)
    rough /= float(cur[code]["units_per_usd"])
    if not isinstance(usd, str) or abs(float(usd) - rough) > 0.011:
        sys.exit(print(f"PROBLEM: {code} should be worth about {rough:.2f} dollars, not {usd}"))
if abs(float(got["total_usd"]) - sum(map(float, got["usd"].values()))) > 0.03:
    sys.exit(print("PROBLEM: total_usd is not the sum over the currencies"))
print("OK")
EOF
