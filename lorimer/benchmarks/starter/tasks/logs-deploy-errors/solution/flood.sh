cat requests.log deploys.md | head -c 50000
