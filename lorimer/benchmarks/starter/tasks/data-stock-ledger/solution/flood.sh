cat movements.csv
