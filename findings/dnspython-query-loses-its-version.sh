#!/bin/sh
# dnspython 2.3.0, as Debian 12 has it, and 2.9.2 (PyPI); CPython 3.11, 2026-11-30. Needs python3 from 3.11 on.
#
# `dns.message.make_query(…, use_edns=1)` of 2.3.0 asks with version 0 of EDNS. It clears the bit DO by `flags & ~dns.flags.DO`,
# and since Python 3.11 the inverse of an IntFlag has only bits that have a name, so those of the version are cleared as well.
# `message.use_edns(1)` afterwards is asked with version 1, by either.
#
# Seen:
#   2.3.0: make_query 0, use_edns 1
#   2.9.2: make_query 1, use_edns 1
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
ask() { # $1: of dnspython
    "$folder/venv/bin/pip" install -q --disable-pip-version-check dnspython=="$1"
    "$folder/venv/bin/python" -c '
import dns.message
import dns.version

made = dns.message.make_query("example.com", "A", use_edns=1)
used = dns.message.make_query("example.com", "A")
used.use_edns(1)
versions = [dns.message.from_wire(query.to_wire()).edns for query in (made, used)]
print("{}: make_query {}, use_edns {}".format(dns.version.version, *versions))'
}
seen="$(ask 2.3.0)
$(ask 2.9.2)"
echo "$seen"
[ "$seen" = "2.3.0: make_query 0, use_edns 1
2.9.2: make_query 1, use_edns 1" ]
