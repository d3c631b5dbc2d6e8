wc gateway.log; grep -n 'gateway: ' gateway.log | grep -v alive; head -5 gateway.log; grep gateway: gateway.log | tail -2; tail -2 gateway.log
