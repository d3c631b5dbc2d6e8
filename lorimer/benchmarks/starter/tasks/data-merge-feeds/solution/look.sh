cd feeds; wc -l *; head -4 badges.csv alarm.txt; head -c 300 camera.json | tr -d '\n'
