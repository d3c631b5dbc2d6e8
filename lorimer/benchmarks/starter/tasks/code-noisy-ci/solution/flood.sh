cat ci.log
