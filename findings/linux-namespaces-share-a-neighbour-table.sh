#!/bin/sh
# Linux 6.18.44, 2026-11-30. Needs root, in the host's own network namespace.
#
# All network namespaces share one table of neighbours for each version of IP. It has one set of limits, gc_thresh1 to
# gc_thresh3 (128, 512 and 1,024 entries by default), which only the host's own namespace shows. So 40 namespaces on one link
# whose hosts all talk to each other have 1,560 entries: more than there may be. Then the kernel drops packets of all of them, and
# of the host, says "neighbour: arp_cache: neighbor table overflow!", and counts in table_fulls. Where a test needs so many,
# gc_thresh3 has to be raised on the host; a namespace cannot have a table of its own.
#
# The table is not filled here: two namespaces get 60 entries each, which go with them. Other programs change the count too,
# so it is tried up to five times.
#
# Seen:
#   two namespaces of 60 neighbours each: 120 more entries of the host's table, 0 neighbours of the host's own
#   gc_thresh3: in the host's namespace yes, in another one no
set -eu
for program in python3 unshare ip; do
    command -v "$program" > /dev/null || { echo "$program is not installed: apt-get install python3 util-linux iproute2"; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "run this as root"; exit 1; }
[ -e /proc/net/stat/arp_cache ] || { echo "run this in the host's own network namespace"; exit 1; }
seen=$(python3 - << 'PYTHON'
import subprocess

COUNT, TRIES = 60, 5
INSIDE = f"""
ip link add one type veth peer two
ip address add 10.99.0.1/24 dev one
ip link set one up
ip link set two up
for number in $(seq 2 {COUNT + 1}); do
    ip neighbour add 10.99.0.$number lladdr 02:00:00:00:00:01 dev one nud reachable
done
test -e /proc/sys/net/ipv4/neigh/default/gc_thresh3 && echo yes || echo no
read -r _
"""

def entries():
    """Of the table, as every line of the host's statistics says."""
    with open("/proc/net/stat/arp_cache") as file:
        return int(file.readlines()[1].split()[0], 16)

def own():
    return {line.split()[0] for line in subprocess.check_output(("ip", "-4", "neighbour"), text=True).splitlines()}

def begin():
    pipe = subprocess.PIPE
    return subprocess.Popen(("unshare", "--net", "sh", "-euc", INSIDE), stdin=pipe, stdout=pipe, text=True)

for _ in range(TRIES):
    before, own_before = entries(), own()
    namespaces = [begin() for _ in range(2)]
    inside = {each.stdout.readline().strip() for each in namespaces}
    more, own_more = entries() - before, len(own() - own_before)
    for each in namespaces:
        each.communicate("end\n")
    if (more, own_more) == (2 * COUNT, 0):
        break
print(f"two namespaces of {COUNT} neighbours each: {more} more entries of the host's table, {own_more} neighbours of the host's own")
with open("/proc/sys/net/ipv4/neigh/default/gc_thresh3"):
    print(f"gc_thresh3: in the host's namespace yes, in another one {' and '.join(sorted(inside))}")
PYTHON
)
echo "Linux $(uname -r)"
echo "$seen"
[ "$seen" = "two namespaces of 60 neighbours each: 120 more entries of the host's table, 0 neighbours of the host's own
gc_thresh3: in the host's namespace yes, in another one no" ]
