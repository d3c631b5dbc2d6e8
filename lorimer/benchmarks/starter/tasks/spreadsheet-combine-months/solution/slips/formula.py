from openpyxl import load_workbook

wb = load_workbook("vouchers.xlsx")
out = wb.create_sheet("All", 0)
out.append(["Month", "Voucher", "Date", "Cost centre", "Amount", "Text"])
for name in ["January", "February", "March", "April", "May"]:
    ws = wb[name]
    for r in range(1, ws.max_row + 1):
        if str(ws.cell(r, 1).value or "")[2:3] == "-":
            out.append([name] + [f"={name}!{c}{r}" for c in "ABCDE"])
wb.save("all_vouchers.xlsx")
