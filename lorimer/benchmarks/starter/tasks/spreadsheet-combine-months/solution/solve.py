from calendar import month_name

from openpyxl import Workbook, load_workbook

COLUMNS = ["Voucher", "Date", "Cost centre", "Amount", "Text"]
NAMES = {"cc": "cost centre", "amount (eur)": "amount"}
out = Workbook()
out.active.title = "All"
out.active.append(["Month", *COLUMNS])
book = load_workbook("vouchers.xlsx")
for month in list(month_name)[1:]:
    if month not in book.sheetnames or book[month].sheet_state != "visible":
        continue
    place = None
    for row in book[month].iter_rows(values_only=True):
        heads = [NAMES.get(str(cell).strip().lower(), str(cell).strip().lower()) for cell in row]
        if place is None:
            if "voucher" in heads:
                place = [heads.index(name.lower()) for name in COLUMNS]
            continue
        voucher, day, centre, amount, text = (row[index] for index in place)
        if voucher:
            out.active.append([month, voucher, day.date(), str(centre).zfill(4), amount, text])
out.save("all_vouchers.xlsx")
