cat deploys.md; wc -l requests.log; head -3 requests.log; tail -1 requests.log; date -u -d @$(head -1 requests.log | cut -d' ' -f1)
