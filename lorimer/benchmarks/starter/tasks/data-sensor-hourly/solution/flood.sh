cat readings.csv
