from openpyxl import load_workbook

wb = load_workbook("timesheet.xlsx")
sheets = wb.sheetnames
names = sorted({r[0].strip() for ws in wb for r in ws.iter_rows(min_row=4, values_only=True) if r[0] and r[0] != "Checked by"})
projects = ["Bridge", "Canal", "Depot"]
out = wb.create_sheet("Hours", 0)
out.append(["Employee"] + projects + ["Total"])
for i, name in enumerate(names, 2):
    row = [name]
    for p in projects:
        row.append("=24*(" + "+".join(f"SUMPRODUCT(('{s}'!A4:A30=A{i})*('{s}'!B4:B30=\"{p}\")*'{s}'!C4:G30)" for s in sheets) + ")")
    out.append(row + [f"=SUM(B{i}:D{i})"])
for s in sheets:
    wb[s].sheet_state = "hidden"
wb.save("hours.xlsx")
