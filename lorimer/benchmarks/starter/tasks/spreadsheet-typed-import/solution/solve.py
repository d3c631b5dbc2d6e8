import csv
from datetime import datetime

from openpyxl import Workbook

book = Workbook()
sheet = book.active
sheet.title = "Parcels"
sheet.append(["Parcel", "Postcode", "Sent", "Weight kg", "Insured", "Express", "Remark"])
with open("parcels.txt", encoding="utf-8", newline="") as handle:
    reader = csv.reader(handle, delimiter="|")
    next(reader)
    for parcel, postcode, sent, weight, insured, express, remark in reader:
        when = datetime.strptime(sent, "%m/%d/%Y").date()
        value = float(insured.replace("'", "")) if insured else None
        sheet.append([parcel, postcode, when, float(weight.replace(",", ".")), value, express.lower().startswith("y"), None])
        if remark:
            cell = sheet.cell(sheet.max_row, 7)
            cell.value = remark
            cell.data_type = "s"
book.save("parcels.xlsx")
