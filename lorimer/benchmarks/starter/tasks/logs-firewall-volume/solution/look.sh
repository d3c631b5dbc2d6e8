wc firewall.log; head -3 firewall.log; id=$(grep -m1 event=close firewall.log | grep -o 'id=[0-9a-f]*'); grep "$id " firewall.log; grep -m1 deny firewall.log
