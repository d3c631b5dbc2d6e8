cat firewall.log
