#!/bin/sh
# iptables 1.8.9 and util-linux 2.38.1 (Debian 12), Linux 6.18.44, 2026-11-29. Needs user namespaces, or root.
#
# CAP_NET_ADMIN is what a firewall is said to take, and it is enough for nft and for iptables-nft. iptables-legacy talks to the
# kernel by a raw socket, so it also needs CAP_NET_RAW, even to list rules: a daemon that kept CAP_NET_ADMIN alone is told that
# it must be root, and exit status 3. And nobody else can list the rules for it: iptables-nft shows an empty chain that accepts,
# where the legacy one drops.
#
# Seen:
#   iptables-nft with net_admin: 0
#   iptables-legacy with net_admin: 3
#   iptables-legacy with net_admin,net_raw: 0
#   legacy: -P FORWARD ACCEPT -A FORWARD -j DROP
#   nft: -P FORWARD ACCEPT
set -eu
for program in setpriv iptables-nft iptables-legacy; do
    command -v "$program" > /dev/null || { echo "$program is not installed: apt-get install iptables util-linux"; exit 1; }
done
lists() {
    status=0
    unshare -rn setpriv --bounding-set="-all,$2" --inh-caps=-all "$1" -S > /dev/null 2>&1 || status=$?
    echo "$1 with $(echo "$2" | tr -d +): $status"
}
seen="$(lists iptables-nft +net_admin)
$(lists iptables-legacy +net_admin)
$(lists iptables-legacy +net_admin,+net_raw)
$(unshare -rn sh -c '
    iptables-legacy -A FORWARD -j DROP
    echo legacy: $(iptables-legacy -S FORWARD)
    echo nft: $(iptables-nft -S FORWARD 2> /dev/null)')"
echo "$seen"
[ "$seen" = "iptables-nft with net_admin: 0
iptables-legacy with net_admin: 3
iptables-legacy with net_admin,net_raw: 0
legacy: -P FORWARD ACCEPT -A FORWARD -j DROP
nft: -P FORWARD ACCEPT" ]
