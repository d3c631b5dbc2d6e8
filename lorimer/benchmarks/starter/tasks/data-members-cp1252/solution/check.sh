python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import csv, json
got = json.load(open("towns.json", encoding="utf-8"))
f = open("mitglieder.csv", encoding="cp1252", newline=""); f.readline()
rows = [r for r in csv.DictReader(f, delimiter=";") if r["Nr."] and r["Status"] != "Ausgetreten"]
if set(got) != {r["PLZ Ort"][5:] for r in rows}:
    sys.exit(print(f"PROBLEM: the towns are {sorted({r['PLZ Ort'][5:] for r in rows})}"))
for town, v in got.items():
    mine = [r["Beitrag €"] for r in rows if r["PLZ Ort"][5:] == town]
    fees = sum(float(x.strip(" €").replace(".", "").replace(",", ".")) for x in mine if "," in x)
    if v["members"] != len(mine):
        sys.exit(print(f"PROBLEM: {town} has {len(mine)} members, not {v['members']}"))
    if v["fees"] != f"{fees:.2f}":
        sys.exit(print(f"PROBLEM: the fees of {town} are {fees:.2f}, not {v['fees']}"))
print("OK")
EOF
