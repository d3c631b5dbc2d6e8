from openpyxl import load_workbook


def number(value):
    if isinstance(value, str):
        sign = -1 if value.strip().startswith("(") else 1
        return sign * float(value.strip(" ()").replace(",", ""))
    return value or 0


book = load_workbook("budget.xlsx")
budget, actual = {}, {}
for account, _, thousands in book["Plan"].iter_rows(min_row=4, max_col=3, values_only=True):
    if account:
        budget[int(account)] = round(thousands * 1000)
for _, account, _, amount in book["Ledger"].iter_rows(min_row=2, max_col=4, values_only=True):
    actual[int(account)] = actual.get(int(account), 0) + number(amount)
sheet = book.create_sheet("Variance")
sheet.append(["Account", "Name", "Budget", "Actual", "Variance", "Flag"])
for account, name in book["Accounts"].iter_rows(min_row=2, max_col=2, values_only=True):
    plan, real = budget.get(account, 0), actual.get(account, 0)
    variance = real - plan
    check = abs(variance) * 10 > abs(plan) if plan else real != 0
    sheet.append([account, name, plan, real, variance, "check" if check else None])
book.save("variance.xlsx")
