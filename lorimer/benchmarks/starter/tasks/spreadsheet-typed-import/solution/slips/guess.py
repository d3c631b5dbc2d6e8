import csv

from openpyxl import Workbook

wb = Workbook()
ws = wb.active
ws.title = "Parcels"
ws.append(["Parcel", "Postcode", "Sent", "Weight kg", "Insured", "Express", "Remark"])
with open("parcels.txt") as f:
    for row in csv.DictReader(f, delimiter="\t"):
        ws.append([row["Parcel"], row["Postcode"], row["Sent"], float(row["Weight"]), row["Insured"], row["Express"] == "TRUE", row["Remark"]])
wb.save("parcels.xlsx")
