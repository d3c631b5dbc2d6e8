cat parcels.txt
