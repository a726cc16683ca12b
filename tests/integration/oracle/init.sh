#!/bin/sh
# First process of the guest: mounts, then the command channel described in guest.py.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run WG_COLOR_MODE=never

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
    net.ipv6.conf.all.router_solicitations=0 net.ipv6.conf.default.router_solicitations=0
ip link set lo up

# In the first second of a clock, `ping` takes every packet for its first, and sends all of them at once.
while IFS=. read -r seconds _ < /proc/uptime && [ "$seconds" -eq 0 ]; do
    sleep 0.1
done

exec < /dev/tty0 > /dev/tty0
stty raw -echo
printf '\004 0\n'
while IFS= read -r line; do
    (eval "$line") < /dev/null 2>&1
    printf '\004 %d\n' $?
done
