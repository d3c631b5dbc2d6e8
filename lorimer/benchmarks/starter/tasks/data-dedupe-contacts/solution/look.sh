head -4 contacts.csv | cat -A | cut -c1-100; wc -l contacts.csv
