import csv
from datetime import datetime

best = {}
with open("contacts.csv", encoding="utf-8-sig", newline="") as handle:
    for row in csv.DictReader(handle, delimiter=";"):
        email = row["E-Mail"].strip().lower()
        when = datetime.strptime(row["Last Updated"].strip(), "%d/%m/%Y").date()
        if email and (email not in best or when > best[email][3]):
            best[email] = (row["Full Name"], email, row["Phone"], when)
with open("contacts_clean.csv", "w", encoding="utf-8", newline="") as handle:
    out = csv.writer(handle)
    out.writerow(["name", "email", "phone", "updated"])
    for email in sorted(best):
        name, _, phone, when = best[email]
        out.writerow([name, email, phone, when.isoformat()])
