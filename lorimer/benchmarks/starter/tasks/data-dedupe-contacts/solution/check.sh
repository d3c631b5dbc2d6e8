python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import csv
rows = list(csv.DictReader(open("contacts_clean.csv", encoding="utf-8")))
emails = [r["email"] for r in rows]
keys = {l.split(";")[1].strip().lower() for l in open("contacts.csv", encoding="utf-8-sig").read().splitlines()[1:]} - {""}
if list(rows[0]) != ["name", "email", "phone", "updated"]:
    sys.exit(print("PROBLEM: the header is not name,email,phone,updated"))
if emails != sorted(keys):
    sys.exit(print(f"PROBLEM: {len(emails)} rows for {len(keys)} distinct addresses, or not sorted lower-case addresses"))
last = {}
for line in open("contacts.csv", encoding="utf-8-sig").read().splitlines()[1:]:
    _, mail, _, day = line.split(";")
    iso = "-".join(reversed(day.strip().split("/")))
    last[mail.strip().lower()] = max(iso, last.get(mail.strip().lower(), ""))
for r in rows:
    if r["updated"] != last[r["email"]]:
        sys.exit(print(f"PROBLEM: {r['email']} was last updated {last[r['email']]}, not {r['updated']}"))
print("OK")
EOF
