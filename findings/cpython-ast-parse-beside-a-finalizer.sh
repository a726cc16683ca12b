#!/bin/sh
# CPython 3.11.7, 2026-11-29.
#
# `ast.parse` raises SystemError ("AST constructor recursion depth mismatch") for a valid source if a finalizer that the
# garbage collector runs in the middle of it parses something itself; formatting a traceback of 3.11 does. Any object
# in a cycle that warns when it is collected (a socket that nobody closed) is enough, so the error comes once in a thousand runs,
# in whatever module parses much. `gc.disable()` around the parsing keeps it away.
#
# Seen:
#   with the collector: SystemError: AST constructor recursion depth mismatch
#   without: parsed
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cat > "$place/noisy.py" << 'PYTHON'
import ast, gc, traceback

class Noisy:
    def __init__(self):
        self.cycle = self
    def __del__(self):
        try:
            int("a") + int("b")
        except ValueError:
            traceback.format_exc()

source = "\n".join(f"x{number} = [{number}, ({number}, {number})]" for number in range(5000))

def outcome():
    try:
        for _ in range(20):
            Noisy()
            ast.parse(source)
    except SystemError as error:
        return f"SystemError: {str(error).split(' (')[0]}"
    return "parsed"

gc.set_threshold(50)
print("with the collector:", outcome())
gc.collect()
gc.disable()
print("without:", outcome())
PYTHON
seen=$(python3 "$place/noisy.py")
echo "$seen"
[ "$seen" = 'with the collector: SystemError: AST constructor recursion depth mismatch
without: parsed' ]
