from openpyxl import load_workbook

wb = load_workbook("order.xlsx")
ws = wb["Order"]
last = ws.max_row
for r in range(5, last):
    ws[f"D{r}"] = f"=IFERROR(INDEX('Price list'!C:C,MATCH(B{r},'Price list'!B:B,0))/INDEX('Price list'!D:D,MATCH(B{r},'Price list'!B:B,0)),\"n/a\")"
    ws[f"E{r}"] = f'=IF(D{r}="n/a","",ROUND(C{r}*D{r},2))'
ws[f"E{last}"] = f"=SUM(E5:E{last - 1})"
wb.save("order_priced.xlsx")
