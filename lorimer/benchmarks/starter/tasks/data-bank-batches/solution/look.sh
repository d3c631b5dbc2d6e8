wc batches.dat; cat LAYOUT.md; cut -c1-2 batches.dat | sort | uniq -c; head -3 batches.dat | iconv -f latin1 -t utf-8
