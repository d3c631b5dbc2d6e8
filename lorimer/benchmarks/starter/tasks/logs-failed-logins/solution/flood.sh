cat auth.log
