wc parcels.txt; head -4 parcels.txt; cut -d'|' -f6 parcels.txt | sort | uniq -c; cut -d'|' -f7 parcels.txt | sort | uniq -c; cut -d'|' -f5 parcels.txt | grep -m2 "'"
