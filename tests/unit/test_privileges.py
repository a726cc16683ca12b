"""What the daemon may still do after it has given up its privileges."""

import subprocess
import sys

import pytest

# In a process of its own: what is given up is gone for good.
_DROP = """
from pathlib import Path
from wgpy.host.privileges import CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, drop_privileges
{before}
drop_privileges(CAP_NET_BIND_SERVICE, CAP_NET_ADMIN)
print(Path("/proc/self/status").read_text())
"""
_NET_BIND_SERVICE_AND_NET_ADMIN = f"{1 << 10 | 1 << 12:016x}"


def status_after_drop(before: str = "") -> dict[str, str]:
    script = _DROP.format(before=before)
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)


@pytest.mark.root
def test_root_keeps_two_capabilities_and_gains_none() -> None:
    status = status_after_drop()

    assert status["CapEff"] == status["CapPrm"] == _NET_BIND_SERVICE_AND_NET_ADMIN
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "1"


@pytest.mark.root
def test_another_user_has_nothing_to_give_up() -> None:
    status = status_after_drop("import os; os.setgid(65534); os.setuid(65534)")

    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert status["NoNewPrivs"] == "1"
