#!/bin/sh
# iproute2 6.1.0 (Debian 12), Linux 6.18.44, 2026-11-29. Needs user namespaces, or root.
#
# `ip route get DESTINATION from SOURCE iif CARD` asks what becomes of a packet that comes in by a card, and applies the reverse
# path filter. A packet that the filter drops is answered with EINVAL, which ip shows as it shows a command that it sent
# wrongly; the filter is named nowhere. The loose filter passes a source that another card leads to, and answers EINVAL for one
# that none does. So a program that takes EINVAL for its own mistake never finds a strict filter.
#
# Seen:
#   strict, by another card: RTNETLINK answers: Invalid argument
#   loose, by another card: 198.51.100.9 from 198.51.100.7
#   loose, by none: RTNETLINK answers: Invalid argument
#   off, by none: 198.51.100.9 from 203.0.113.7
set -eu
command -v ip > /dev/null || { echo "ip is not installed: apt-get install iproute2"; exit 1; }
seen=$(unshare -rn sh -c '
    for card in one two; do
        ip link add name $card type veth peer name far-$card
        ip link set $card up
        ip link set far-$card up
    done
    ip address add 192.0.2.1/24 dev one
    ip address add 198.51.100.1/24 dev two
    echo 1 > /proc/sys/net/ipv4/ip_forward
    answer() {
        echo $2 > /proc/sys/net/ipv4/conf/all/rp_filter
        echo $2 > /proc/sys/net/ipv4/conf/one/rp_filter
        echo "$1: $(ip route get 198.51.100.9 from $3 iif one 2>&1 | head -n 1 | sed "s/ dev two.*//; s/ *$//")"
    }
    answer "strict, by another card" 1 198.51.100.7
    answer "loose, by another card" 2 198.51.100.7
    answer "loose, by none" 2 203.0.113.7
    answer "off, by none" 0 203.0.113.7')
echo "$seen"
[ "$seen" = "strict, by another card: RTNETLINK answers: Invalid argument
loose, by another card: 198.51.100.9 from 198.51.100.7
loose, by none: RTNETLINK answers: Invalid argument
off, by none: 198.51.100.9 from 203.0.113.7" ]
