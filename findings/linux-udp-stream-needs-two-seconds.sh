#!/bin/sh
# Linux 6.18.44, nftables 1.0.6 (Debian 12), 2026-11-29. Needs user namespaces, or root.
#
# nf_conntrack_udp_timeout is 30 s and nf_conntrack_udp_timeout_stream 120 s; the documentation says that the latter is for a
# "stream" and not what makes a flow one. A question and its answer do not, nor do a hundred of them: only a packet that passes
# more than two seconds after the flow began, and after an answer, has the flow kept for 120 s. So a handshake of a VPN and the
# data right behind it leave a mapping that a NAT forgets after 30 s of silence; one more packet three seconds later would
# have been good for 120.
#
# Seen:
#   a hundred answered questions at once: kept for at most 30 s
#   one more after three seconds: kept for more than 60 s
set -eu
for program in ip nft python3; do
    command -v "$program" > /dev/null || { echo "$program is not installed: apt-get install iproute2 nftables python3"; exit 1; }
done
seen=$(unshare -rn sh -c '
    ip link set lo up
    nft "add table ip t; add chain ip t c { type filter hook input priority 0; }
         add counter ip t long; add rule ip t c udp dport 4000 ct expiration > 60s counter name long"
    python3 - << "END"
import socket, subprocess, time
here, there = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
here.bind(("127.0.0.1", 5000))
there.bind(("127.0.0.1", 4000))
def ask():
    here.sendto(b"question", ("127.0.0.1", 4000))
    there.recv(100)
    there.sendto(b"answer", ("127.0.0.1", 5000))
    here.recv(100)
def long():
    """How many questions met a flow that is kept for more than 60 s."""
    return int(subprocess.check_output(["nft", "list", "counter", "ip", "t", "long"]).split(b"packets ")[1].split()[0])
for _ in range(100):
    ask()
print("a hundred answered questions at once: kept for", "more than 60 s" if long() else "at most 30 s")
time.sleep(3)
ask()
ask()
print("one more after three seconds: kept for", "more than 60 s" if long() else "at most 30 s")
END')
echo "$seen"
[ "$seen" = "a hundred answered questions at once: kept for at most 30 s
one more after three seconds: kept for more than 60 s" ]
