wc readings.csv; head -3 readings.csv; cut -d, -f2- readings.csv | tr ',' '\n' | grep -vE '^[0-9]+\.[0-9]$' | sort | uniq -c; cat sensors.json | tr -d '\n'
