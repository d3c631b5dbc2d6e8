cat payments.jsonl | head -c 50000
