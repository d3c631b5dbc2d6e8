from datetime import datetime

import openpyxl

wb = openpyxl.load_workbook("receivables.xlsx")
ws = wb["Invoices"]
today = datetime.now()
totals = {}
for row in ws.iter_rows(min_row=2, values_only=True):
    no, customer, due, amount = row[:4]
    late = (today - due).days
    b = 0 if late <= 0 else 1 if late <= 30 else 2 if late <= 60 else 3
    totals.setdefault(customer, [0, 0, 0, 0])[b] += amount
out = openpyxl.Workbook()
out.active.title = "Aging"
out.active.append(["Customer", "Not due", "1-30", "31-60", "Over 60", "Total"])
for c in sorted(totals):
    out.active.append([c] + totals[c] + [sum(totals[c])])
out.save("aging.xlsx")
