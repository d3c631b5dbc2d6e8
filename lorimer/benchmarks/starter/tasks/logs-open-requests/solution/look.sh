cd log; wc -l server.log server.log.1; zcat server.log.2.gz | head -4; cat server.log* | grep -a 'server ' ; zcat -f server.log* | cut -d' ' -f4 | sort | uniq -c | sort -rn | head
