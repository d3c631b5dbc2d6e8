cat receipt.py; wc ci.log; grep -A7 '^FAIL:' ci.log | grep -v '^[-=T2]'
