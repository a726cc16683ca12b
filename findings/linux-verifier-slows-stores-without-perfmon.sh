#!/bin/sh
# Linux 6.18.44, Python 3.11, 2026-11-30. Needs root.
#
# CAP_BPF alone loads a program of eBPF, but the verifier then puts a barrier against speculation behind stores to the
# program's stack that replace another kind of value: 12 stores of words become 24 instructions. A hash of 1,400 instructions
# runs for twice as long so. With CAP_PERFMON, or CAP_SYS_ADMIN, the program stays as it is. The kernel's own count of
# instructions after translation shows it (bpf_prog_info, xlated_prog_len).
#
# Seen:
#   with CAP_BPF and CAP_PERFMON: 26 instructions
#   with CAP_BPF: 38 instructions
set -eu
for program in python3 setpriv; do
    command -v "$program" > /dev/null || { echo "$program is not installed: apt-get install python3 util-linux"; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "run this as root"; exit 1; }
seen() {
    setpriv --bounding-set="-all,$1" --inh-caps=-all python3 -c '
import ctypes, os, platform, struct

NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
libc = ctypes.CDLL(None, use_errno=True)

def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    result = libc.syscall(NUMBERS[platform.machine()], command, buffer, len(attributes))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def instruction(code, registers=0, offset=0, value=0):
    return struct.pack("<BBhi", code, registers, offset, value)

stores = [instruction(0x62, 10, -4 * (1 + at), at) for at in range(12)]  # word at the frame
again = [instruction(0x62, 10, -4 * (1 + at), 7) for at in range(12)]
code = b"".join([*stores, *again, instruction(0xb7), instruction(0x95)])  # r0 = 0; exit
program, licence = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"MIT")
loaded = bpf(5, struct.pack("=IIQQ", 1, len(code) // 8, ctypes.addressof(program), ctypes.addressof(licence)))
info = ctypes.create_string_buffer(64)
bpf(15, struct.pack("=IIQ", loaded, len(info), ctypes.addressof(info)))  # BPF_OBJ_GET_INFO_BY_FD
print(struct.unpack_from("=I", info.raw, 20)[0] // 8)
'
}
both=$(seen +bpf,+perfmon)
alone=$(seen +bpf)
echo "Linux $(uname -r)"
echo "with CAP_BPF and CAP_PERFMON: $both instructions"
echo "with CAP_BPF: $alone instructions"
[ "$both" = 26 ] && [ "$alone" = 38 ]
