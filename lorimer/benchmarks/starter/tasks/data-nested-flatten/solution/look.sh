wc -c catalogue.json; head -c 900 catalogue.json; echo
grep -o '"name": "[A-Za-z]*"' catalogue.json | sort | uniq -c; grep -oE '"(price|variants|archived)": [a-z[{]+' catalogue.json | sort | uniq -c
