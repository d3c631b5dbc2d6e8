from openpyxl import load_workbook

wb = load_workbook("budget.xlsx")
budget = {r[0]: r[2] * 1000 for r in wb["Plan"].iter_rows(min_row=4, values_only=True) if r[0]}
actual = {}
for _, account, _, amount in wb["Ledger"].iter_rows(min_row=2, values_only=True):
    if isinstance(amount, str):
        amount = float(amount.strip("()").replace(",", ""))
    actual[int(account)] = actual.get(int(account), 0) + amount
ws = wb.create_sheet("Variance")
ws.append(["Account", "Name", "Budget", "Actual", "Variance", "Flag"])
for account, name in wb["Accounts"].iter_rows(min_row=2, values_only=True):
    b, a = budget.get(account, 0), actual.get(account, 0)
    flag = "check" if (abs(a - b) > 0.1 * abs(b) if b else a) else None
    ws.append([account, name, b, a, a - b, flag])
wb.save("variance.xlsx")
