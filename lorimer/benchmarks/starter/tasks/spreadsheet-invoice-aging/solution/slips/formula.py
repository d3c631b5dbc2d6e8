from openpyxl import load_workbook

wb = load_workbook("receivables.xlsx")
inv = wb["Invoices"]
names = sorted({r[1] for r in inv.iter_rows(min_row=2, values_only=True)})
inv["G1"], inv["H1"] = "Open", "Overdue"
for r in range(2, inv.max_row + 1):
    inv[f"G{r}"] = f"=E{r}-F{r}"
    inv[f"H{r}"] = f"='Read me'!$B$3-C{r}-IF(D{r}=\"\",30,D{r})"
ws = wb.create_sheet("Aging")
ws.append(["Customer", "Not due", "1-30", "31-60", "Over 60", "Total"])
for i, name in enumerate(names, 2):
    row = [name]
    for lo, hi in ((-999, 0), (1, 30), (31, 60), (61, 9999)):
        row.append(f'=SUMIFS(Invoices!G:G,Invoices!B:B,A{i},Invoices!H:H,">={lo}",Invoices!H:H,"<={hi}")')
    ws.append(row + [f"=SUM(B{i}:E{i})"])
wb.save("aging.xlsx")
