cat cron.log | head -c 55000
