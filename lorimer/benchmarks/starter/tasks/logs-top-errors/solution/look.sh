wc shop.log; head -3 shop.log; grep -m2 -n ' ERROR ' shop.log; grep -m1 -n -A4 Traceback shop.log; grep -m3 '^ERROR' shop.log
