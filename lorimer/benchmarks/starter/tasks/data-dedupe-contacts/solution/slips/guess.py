import csv

best = {}
with open("contacts.csv", newline="") as f:
    for row in csv.DictReader(f):
        email = row["email"].strip().lower()
        if email not in best or row["updated"] > best[email]["updated"]:
            best[email] = row
with open("contacts_clean.csv", "w", newline="") as f:
    w = csv.DictWriter(f, fieldnames=["name", "email", "phone", "updated"])
    w.writeheader()
    for email in sorted(best):
        w.writerow(best[email])
