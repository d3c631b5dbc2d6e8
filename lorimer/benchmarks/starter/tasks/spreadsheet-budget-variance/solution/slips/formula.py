from openpyxl import load_workbook

wb = load_workbook("budget.xlsx")
ws = wb.create_sheet("Variance")
ws.append(["Account", "Name", "Budget", "Actual", "Variance", "Flag"])
for i, (account, name) in enumerate(wb["Accounts"].iter_rows(min_row=2, values_only=True), start=2):
    ws.append([
        account,
        name,
        f"=SUMIF(Plan!A:A,A{i},Plan!C:C)*1000",
        f"=SUMIF(Ledger!B:B,A{i},Ledger!D:D)",
        f"=D{i}-C{i}",
        f'=IF(OR(ABS(E{i})>ABS(C{i})*0.1,AND(C{i}=0,D{i}<>0)),"check","")',
    ])
wb.save("variance.xlsx")
