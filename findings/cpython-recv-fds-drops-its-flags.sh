#!/bin/sh
# CPython 3.11.7 (its source says the same in 3.13.0), Linux, 2026-11-29.
#
# `socket.recv_fds(sock, size, count, flags)` does not hand its `flags` on to recvmsg. So MSG_CMSG_CLOEXEC asks for
# descriptors that no child inherits, and those that come are inheritable: unlike every other descriptor that Python
# makes since 3.4. `sock.recvmsg` with the same flags does what they say; or call `os.set_inheritable` at once.
#
# Seen:
#   recv_fds: inheritable True
#   recvmsg: inheritable False
set -eu
seen=$(python3 - << 'PYTHON'
import array, os, socket

ours, theirs = socket.socketpair()
flags = socket.MSG_CMSG_CLOEXEC
socket.send_fds(ours, [b"x"], [0])
_, [received], _, _ = socket.recv_fds(theirs, 1, 1, flags)
print("recv_fds: inheritable", os.get_inheritable(received))
socket.send_fds(ours, [b"x"], [0])
_, [(_, _, data)], _, _ = theirs.recvmsg(1, socket.CMSG_SPACE(4), flags)
print("recvmsg: inheritable", os.get_inheritable(array.array("i", data)[0]))
PYTHON
)
echo "$seen"
[ "$seen" = 'recv_fds: inheritable True
recvmsg: inheritable False' ]
