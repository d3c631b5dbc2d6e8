wc gc.log; head -3 gc.log; grep 'Pause Full' gc.log; grep -v GC gc.log
