from openpyxl import Workbook, load_workbook

ws = load_workbook("timesheet.xlsx").active
total, projects = {}, set()
for row in ws.iter_rows(min_row=2, values_only=True):
    date, employee, project, hours = row[:4]
    projects.add(project)
    total.setdefault(employee, {}).setdefault(project, 0)
    total[employee][project] += float(hours)
projects = sorted(projects)
out = Workbook()
out.active.title = "Hours"
out.active.append(["Employee"] + projects + ["Total"])
for e in sorted(total):
    row = [total[e].get(p, 0) for p in projects]
    out.active.append([e] + row + [sum(row)])
out.save("hours.xlsx")
