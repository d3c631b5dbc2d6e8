import csv

from openpyxl import load_workbook

ws = load_workbook("results.xlsx").active
rows = []
for row in ws.iter_rows(min_row=2, values_only=True):
    student, hw, exam = row[0], list(row[1:6]), row[6]
    hw = [h or 0 for h in hw]
    hw.remove(min(hw))
    percent = round(sum(hw) / 80 * 40 + (exam or 0), 1)
    grade = 1 if percent >= 88 else 2 if percent >= 75 else 3 if percent >= 63 else 4 if percent >= 50 else 5
    rows.append([student, percent, grade])
rows.sort()
with open("grades.csv", "w", newline="") as f:
    w = csv.writer(f)
    w.writerow(["student", "percent", "grade"])
    w.writerows(rows)
