cat access.log
