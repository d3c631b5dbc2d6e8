from datetime import datetime, timedelta

from openpyxl import Workbook, load_workbook

book = load_workbook("receivables.xlsx")
closing = book["Read me"]["B3"].value
customers = {}
for _, name, issued, terms, gross, paid in book["Invoices"].iter_rows(min_row=2, max_col=6, values_only=True):
    if isinstance(issued, str):
        issued = datetime.strptime(issued, "%d.%m.%Y")
    cents = round(gross * 100) - round((paid or 0) * 100)
    if not cents:
        continue
    late = (closing - issued - timedelta(days=30 if terms is None else terms)).days
    column = 0 if late <= 0 else 1 if late <= 30 else 2 if late <= 60 else 3
    customers.setdefault(name, [0, 0, 0, 0])[column] += cents
out = Workbook()
out.active.title = "Aging"
out.active.append(["Customer", "Not due", "1-30", "31-60", "Over 60", "Total"])
for name, cents in sorted(customers.items()):
    out.active.append([name, *(c / 100 for c in cents), sum(cents) / 100])
out.save("aging.xlsx")
