python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import csv, json
rows = list(csv.DictReader(open("hourly.csv")))
raw = list(csv.DictReader(open("readings.csv")))
meta = json.load(open("sensors.json"))
if list(rows[0]) != ["hour", *list(raw[0])[1:]] or len(rows) != len({r["time"][:13] for r in raw}):
    sys.exit(print("PROBLEM: wrong header or number of hours"))
for n in meta:
    for i, r in enumerate(rows):
        group = [x[n] for x in raw[6 * i : 6 * i + 6] if x[n] not in ("", "nan", "-999", "-999.0")]
        if (r[n] != "") != (len(group) >= 4):
            sys.exit(print(f"PROBLEM: {n} has {len(group)} good readings in {r['hour']}, but the mean is {r[n]!r}"))
        if group:
            mean = sum(map(float, group)) / len(group)
            mean = ((mean - 32) / 1.8 if meta[n]["unit"] == "F" else mean) + meta[n]["offset"]
            if r[n] and abs(float(r[n]) - mean) > 0.006:
                sys.exit(print(f"PROBLEM: {n} in {r['hour']} should be {mean:.2f}, not {r[n]}"))
print("OK")
EOF
