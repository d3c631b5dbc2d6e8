cat mitglieder.csv
