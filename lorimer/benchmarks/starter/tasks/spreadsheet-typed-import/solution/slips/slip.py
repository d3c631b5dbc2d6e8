import csv
from datetime import datetime

from openpyxl import Workbook

wb = Workbook()
ws = wb.active
ws.title = "Parcels"
ws.append(["Parcel", "Postcode", "Sent", "Weight kg", "Insured", "Express", "Remark"])
with open("parcels.txt", newline="") as f:
    rows = csv.reader(f, delimiter="|")
    next(rows)
    for parcel, code, sent, weight, insured, express, remark in rows:
        day = datetime.strptime(sent, "%m/%d/%Y").date()
        value = float(insured.replace("'", "")) if insured else None
        ws.append([parcel, code, day, float(weight.replace(",", ".")), value, express.lower() in ("y", "yes"), remark or None])
wb.save("parcels.xlsx")
