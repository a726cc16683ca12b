#!/bin/sh
# PyNaCl 1.6.2 (PyPI), Python 3.11.7; wireguard-tools 1.0.20210914 (Debian 12), 2026-11-28.
#
# A key of 32 bytes is 43 letters of Base64 and a `=`; the last letter has two bits to spare, which are zero. `wg` refuses a key
# where they are not. PyNaCl's Base64Encoder, and Python's base64 also with validate=True, ignore them: four texts are one
# key. Whoever uses the text of a key as its name (a file, a row, a peer to remove) has two of one.
#
# Seen:
#   PyNaCl: same key
#   base64 with validate: same key
#   wg: Key is not the correct length or format
set -eu
canonical=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
other=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=
command -v wg > /dev/null || { echo "wg is not installed: apt-get install wireguard-tools"; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pynacl==1.6.2
seen=$("$folder/venv/bin/python" - "$canonical" "$other" << 'PYTHON'
import base64
import sys

from nacl.encoding import Base64Encoder
from nacl.public import PublicKey

first, second = (text.encode() for text in sys.argv[1:])
readers = {
    "PyNaCl": lambda text: bytes(PublicKey(text, Base64Encoder)),
    "base64 with validate": lambda text: base64.b64decode(text, validate=True),
}
for name, read in readers.items():
    print(f"{name}: {'same key' if read(first) == read(second) else 'other keys'}")
PYTHON
)
seen="$seen
$(echo "$other" | wg pubkey 2>&1 || true)"
echo "$seen"
[ "$seen" = "PyNaCl: same key
base64 with validate: same key
wg: Key is not the correct length or format" ]
