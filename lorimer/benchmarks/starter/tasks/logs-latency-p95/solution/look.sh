wc access.log; grep -n '^#' access.log; head -4 access.log; tail -3 access.log
