from openpyxl import load_workbook

wb = load_workbook("budget.xlsx")
budget = {r[0]: r[2] for r in wb["Plan"].iter_rows(min_row=2, values_only=True)}
actual = {}
for date, account, text, amount in wb["Ledger"].iter_rows(min_row=2, values_only=True):
    actual[account] = actual.get(account, 0) + amount
ws = wb.create_sheet("Variance")
ws.append(["Account", "Name", "Budget", "Actual", "Variance", "Flag"])
for account, name in wb["Accounts"].iter_rows(min_row=2, values_only=True):
    b, a = budget.get(account, 0), actual.get(account, 0)
    flag = "check" if b and abs(a - b) / b > 0.1 else ""
    ws.append([account, name, b, a, a - b, flag])
wb.save("variance.xlsx")
