#!/bin/sh
# iproute2 6.1.0 (Debian 12), Linux 6.18.44, 2026-11-28. Needs user namespaces, or root.
#
# `ip -json route show` leaves out of its answer what it was asked to filter by: the field of a route is there without
# `proto` in the command, and gone with it. Text does the same. So a program that reads one shape of object, and looks again at
# `protocol` (or `scope`) for safety, finds that no route has it as soon as it lets `ip` do the filtering.
#
# Seen:
#   all: "protocol":"201"
#   filtered by proto 201: no protocol
set -eu
command -v ip > /dev/null || { echo "ip is not installed: apt-get install iproute2"; exit 1; }
routes() { grep -o '{[^}]*192\.0\.2\.0/24[^}]*}' | grep -o '"protocol":"[^"]*"' || echo "no protocol"; }
answers=$(unshare -rn sh -c '
    ip link set lo up
    ip route add 192.0.2.0/24 dev lo proto 201
    ip -N -json route show
    ip -N -json route show proto 201')
seen="all: $(echo "$answers" | sed -n 1p | routes)
filtered by proto 201: $(echo "$answers" | sed -n 2p | routes)"
echo "$seen"
[ "$seen" = 'all: "protocol":"201"
filtered by proto 201: no protocol' ]
