"""What a daemon has loaded by the time its socket answers: nothing that it does not need for that."""

import sys
from typing import Final

import pytest

from tests.integration.hosts import Lab
from tests.integration.peers import wait_until_listening
from wgpy.datapath import native

# Large, or of what is done later, or of a mesh alone.
UNNEEDED: Final = (
    "asyncio", "cryptography", "dataclasses", "hashlib", "inspect", "json", "logging", "nacl.bindings",
    "pathlib", "ssl", "subprocess", "urllib", "uvloop", "wgpy.datapath.permits",
    "wgpy.datapath.translation", "wgpy.dns", "wgpy.kubernetes", "wgpy.mesh", "wgpy.node", "wgpy.tunnel",
    "wgpyd.agent", "wgpyd.handover.takeover",
)  # fmt: skip
# OpenSSL seals the packets there, and it judges and translates them itself.
OF_THE_PORTABLE: Final = {
    "cryptography", "hashlib", "wgpy.datapath.permits", "wgpy.datapath.translation",
}  # fmt: skip

# What the interpreter's own start loads does not count.
LIST_LOADED: Final = """
import atexit, sys
before = set(sys.modules)
atexit.register(lambda: print(*sorted(set(sys.modules) - before), sep="\\n", flush=True))
from wgpyd.main import main
sys.argv[0] = "wgpyd"
sys.exit(main())
"""


@pytest.mark.parametrize("datapath", ["native", "portable"])
def test_a_daemon_that_answers_has_loaded_nothing_that_it_did_not_need(lab: Lab, datapath: str) -> None:
    if datapath == "native" and not native.available():
        pytest.skip("the C data path is not built")
    host = lab.host("host")
    daemon = host.start("env", f"WGPY_DATAPATH={datapath}", sys.executable, "-c", LIST_LOADED, "-f", "wg0")
    wait_until_listening(host, "wg0", daemon)  # it has answered a `get` then
    daemon.kill()
    loaded = daemon.wait().output.splitlines()

    unneeded = set(UNNEEDED) - (OF_THE_PORTABLE if datapath == "portable" else set())
    assert "wgpyd.serving" in loaded
    assert not [name for name in loaded if any(f"{name}.".startswith(f"{one}.") for one in unneeded)]
