from datetime import datetime, timedelta

from openpyxl import Workbook, load_workbook

wb = load_workbook("receivables.xlsx")
closing = wb["Read me"]["B3"].value
totals = {}
for no, name, issued, terms, gross, paid in wb["Invoices"].iter_rows(min_row=2, values_only=True):
    if isinstance(issued, str):
        issued = datetime.strptime(issued, "%d.%m.%Y")
    left = round(gross - (paid or 0), 2)
    late = (closing - (issued + timedelta(days=terms or 0))).days
    b = 0 if late <= 0 else 1 if late <= 30 else 2 if late <= 60 else 3
    if left:
        totals.setdefault(name, [0, 0, 0, 0])[b] += left
out = Workbook()
ws = out.active
ws.title = "Aging"
ws.append(["Customer", "Not due", "1-30", "31-60", "Over 60", "Total"])
for name, v in sorted(totals.items()):
    ws.append([name] + [round(x, 2) for x in v] + [round(sum(v), 2)])
out.save("aging.xlsx")
