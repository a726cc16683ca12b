#!/bin/sh
# iproute2 6.1.0 (Debian 12), Linux 6.18.44, 2026-11-29. Needs user namespaces, or root.
#
# A rule of `ip rule` for `ipproto icmp dport N` matches ICMP errors that the host itself makes, although ICMP has no ports: for
# these the kernel looks a route up by type and code, which lie where the ports of other protocols do. N is the type times 256
# plus the code: 771 is "port unreachable" and 770 is not. So errors can be routed by their kind, which ip-rule(8) does not say,
# and a rule for a range of ports that names no protocol takes them with it.
#
# Seen:
#   no rule: an error came
#   icmp dport 770: an error came
#   icmp dport 771: none came
#   dport 700-800: none came
set -eu
command -v ip > /dev/null || { echo "ip is not installed: apt-get install iproute2"; exit 1; }
seen=$(unshare -rn bash -c '
    ip link set lo up
    ip rule add priority 10 lookup local
    ip rule del priority 0
    tell() {
        exec 3<> /dev/udp/127.0.0.1/9
        echo one >&3
        sleep 0.2
        if echo two 2> /dev/null >&3; then echo "$1: none came"; else echo "$1: an error came"; fi
        exec 3>&-
    }
    tell "no rule"
    for rule in "icmp dport 770" "icmp dport 771"; do
        ip rule add priority 5 ipproto $rule prohibit
        tell "$rule"
        ip rule del priority 5
    done
    ip rule add priority 5 dport 700-800 prohibit
    tell "dport 700-800"')
echo "$seen"
[ "$seen" = "no rule: an error came
icmp dport 770: an error came
icmp dport 771: none came
dport 700-800: none came" ]
