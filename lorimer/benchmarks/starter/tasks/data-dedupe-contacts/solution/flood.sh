cat contacts.csv
