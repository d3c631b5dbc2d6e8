cat bill.py invoices.py
