file mitglieder.csv 2>/dev/null; iconv -f cp1252 -t utf-8 mitglieder.csv | head -8; tail -2 mitglieder.csv | iconv -f cp1252 -t utf-8
