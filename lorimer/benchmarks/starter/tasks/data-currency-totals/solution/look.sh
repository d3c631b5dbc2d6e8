cat currencies.json; head -3 payments.jsonl; grep -o '"status": "[a-z]*"' payments.jsonl | sort | uniq -c
