"""A host whose first process is this machine's systemd, with a Debian package of ours to install.

It has this machine's files, and what it writes is in memory. As in systemd-nspawn, it cannot change what is
the kernel's and not its network's. Units and boot of this machine are not its own.
"""

import shutil
import sysconfig
from pathlib import Path

from tests.integration import cgroups
from tests.integration.hosts import Host, Lab, eventually

LIBRARIES = "/opt/libraries"  # of the Python that runs these tests, which Debian's may be too old for
WRITTEN = "/mnt"  # all files that were written there, but for what is of this boot alone
PROGRAM = Path("/lib/systemd/systemd")
_BOOT = 60.0  # seconds
# What would do something for this machine, needs a terminal, or empties /tmp, which these tests may be in.
_MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "console-getty.service", "getty.target",
    "systemd-tmpfiles-clean.timer", "systemd-tmpfiles-setup.service", "systemd-udevd.service",
)  # fmt: skip
_SETUP = """
set -e
echo 0 > {cgroup}/cgroup.procs
exec unshare --cgroup --uts --ipc sh -c '
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
cd /run
mkdir upper work root
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay root
cd root
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
[ -d sys/fs/cgroup ]
mount -t cgroup2 cgroup2 sys/fs/cgroup
for folder in dev run var/lib/systemd etc/systemd/system; do
    mount -t tmpfs -o mode=755 tmpfs $folder
done
rm -rf ./var/lib/wgpyd ./var/lib/wgmesh ./etc/wireguard
mkdir -p ./{libraries} etc/wireguard dev/net dev/pts dev/shm
for device in null zero full random urandom tty net/tun; do
    touch dev/$device
    mount --bind /dev/$device dev/$device
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount --bind {source} ./{libraries}
for unit in {masked}; do
    ln -s /dev/null etc/systemd/system/$unit
done
ip link set lo up
mount --bind ../upper ./{written}
mkdir old
pivot_root . old
umount -l /old
rmdir /old
echo ready
exec env -i container=test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio {program} --unit=multi-user.target
'"""


def missing() -> str:
    """Return what this machine lacks to boot one, or nothing."""
    if not PROGRAM.exists() or shutil.which("dpkg") is None:
        return "Debian's systemd: apt-get install systemd"
    return "" if cgroups.unified() else "cgroups of version 2"


def boot(lab: Lab, name: str) -> Host:
    """Boot one that lives until the end of the test."""
    cgroups.remove_old()
    cgroup = f"{cgroups.own()}/{name}"
    cgroups.make(cgroup)
    lab.closing.callback(cgroups.remove, cgroup)
    setup = _SETUP.format(
        cgroup=f"{cgroups.unified()}/{cgroup}",
        libraries=LIBRARIES,
        written=WRITTEN,
        source=sysconfig.get_path("purelib"),
        masked=" ".join(_MASKED),
        program=PROGRAM,
    )
    host = Host.boot(name, lab.logs, setup)
    lab.closing.callback(host.power_off)
    asked = ("systemctl", "is-system-running", "--wait")
    eventually(lambda: host.attempt(*asked).status == 0, "systemd has started its units", _BOOT)
    return host
