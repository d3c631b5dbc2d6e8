from openpyxl import Workbook, load_workbook

wb = load_workbook("vouchers.xlsx")
out = Workbook()
ws = out.active
ws.title = "All"
ws.append(["Month", "Voucher", "Date", "Cost centre", "Amount", "Text"])
names = {"voucher": 0, "date": 1, "cost centre": 2, "cc": 2, "amount": 3, "amount (eur)": 3, "text": 4}
for sheet in wb:
    if sheet.sheet_state != "visible" or sheet.title == "Lists":
        continue
    pos = None
    for row in sheet.iter_rows(values_only=True):
        keys = [str(c).strip().lower() for c in row]
        if "voucher" in keys:
            pos = {names[k]: i for i, k in enumerate(keys) if k in names}
        elif pos and any(v is not None for v in row):
            ws.append([sheet.title] + [row[pos[i]] for i in range(5)])
out.save("all_vouchers.xlsx")
