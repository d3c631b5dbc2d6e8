cat schedule.txt; wc -l cron.log; head -5 cron.log; sed 's/.*mill //; s/\[[0-9]*\]//' cron.log | sort | uniq -c
