"""The program beside Debian's unbound, BIND and dnsmasq: the same queries, the same upstream answers."""
