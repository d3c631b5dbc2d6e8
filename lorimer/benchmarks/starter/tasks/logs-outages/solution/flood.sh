cat gateway.log | head -c 55000
