zcat log/server.log.2.gz; cat log/server.log.1 log/server.log
