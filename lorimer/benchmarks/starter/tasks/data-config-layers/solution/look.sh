ls config; cat config/ORDER; for f in config/*.json; do echo $f; tr -d ' \n' < $f; echo; done
