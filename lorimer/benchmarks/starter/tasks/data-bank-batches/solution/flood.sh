cat batches.dat
