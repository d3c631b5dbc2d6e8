from datetime import time

from openpyxl import Workbook, load_workbook


def hours(value):
    if isinstance(value, time):
        return value.hour + value.minute / 60
    if isinstance(value, (int, float)):
        return value
    text = (value or "").strip()
    if ":" in text:
        whole, minutes = text.split(":")
        return int(whole) + int(minutes) / 60
    return float(text.removesuffix("h").strip().replace(",", ".")) if text.endswith("h") else 0


total = {}
for sheet in load_workbook("timesheet.xlsx"):
    for name, project, *days in sheet.iter_rows(min_row=4, max_col=7, values_only=True):
        if not name:
            break
        key = (name.strip(), project.strip())
        total[key] = total.get(key, 0) + sum(map(hours, days))
projects = sorted({project for _, project in total})
book = Workbook()
book.active.title = "Hours"
book.active.append(["Employee", *projects, "Total"])
for name in sorted({name for name, _ in total}):
    row = [round(total.get((name, project), 0), 4) for project in projects]
    book.active.append([name, *row, round(sum(row), 4)])
book.save("hours.xlsx")
