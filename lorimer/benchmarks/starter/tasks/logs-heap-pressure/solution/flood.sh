cat gc.log
