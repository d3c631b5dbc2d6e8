wc auth.log; head -3 auth.log; grep -m2 'Failed password' auth.log; grep 'message repeated' auth.log
