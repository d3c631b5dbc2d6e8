python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import csv
from openpyxl import load_workbook
rows = list(csv.reader(open("grades.csv")))
src = {r[0]: r for r in list(load_workbook("results.xlsx").active.values)[3:] if r[0] and len(r[0]) == 6 and r[8] != "W"}
if rows[0] != ["student", "percent", "grade"] or [r[0] for r in rows[1:]] != sorted(src):
    sys.exit(print(f"PROBLEM: header, order, or not the {len(src)} students who did not withdraw"))
for student, percent, grade in rows[1:]:
    hw = [0 if h is None else int(str(h).strip("*")) for h in src[student][3:8] if h != "exc."]
    hw = sorted(hw)[1:] if len(hw) > 1 else hw
    exact = 2 * sum(hw) / len(hw) + (src[student][8] or 0)
    if abs(float(percent) - exact) > 0.0501 or percent[-2] != "." or (round(exact * 20) % 2 and float(percent) < exact - 1e-9 and abs(exact * 20 - round(exact * 20)) < 1e-9):
        sys.exit(print(f"PROBLEM: {student} has {exact:.3f} percent, not {percent}"))
    p = float(percent)
    want = 5 if (src[student][8] or 0) < 30 else 5 - sum(p >= x for x in (50, 63, 75, 88))
    if grade != str(want):
        sys.exit(print(f"PROBLEM: {student} with {percent} percent and {src[student][8]} in the exam gets a {want}, not {grade}"))
print("OK")
EOF
