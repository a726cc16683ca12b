"""The harness itself."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.integration.hosts import Lab, connect, eventually

_RUN_THAT_IS_KILLED = """
import sys, time
from pathlib import Path
from tests.integration.hosts import Lab
host = Lab(Path(sys.argv[1])).host("orphan")
host.run("sh", "-c", "setsid sleep 300 > /dev/null 2>&1 &")
print(*host.processes("300"), flush=True)
time.sleep(300)
"""


def test_a_killed_run_leaves_no_process_behind(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", _RUN_THAT_IS_KILLED, str(tmp_path)]
    run = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
    with run:
        assert run.stdout is not None
        orphan = int(run.stdout.readline())
        os.kill(orphan, 0)
        run.send_signal(signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{orphan}").exists(), "the host and all in it are gone")


def test_hosts_share_no_interface_and_no_configuration_socket(lab: Lab) -> None:
    one, other = lab.host("one"), lab.host("other")
    connect(one, "eth0", other, "eth0")
    one.write("/run/wireguard/wg0.sock", "")
    assert not other.path("/run/wireguard").exists()
    one.run("ip", "link", "add", "name", "wg0", "type", "bridge")
    assert other.attempt("ip", "link", "show", "wg0").status != 0
