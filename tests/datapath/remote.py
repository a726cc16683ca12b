"""The other end of a session, by the whitepaper and the cipher alone: it makes and reads data messages.

Constants are restated here so that the tests hold the data path to the paper, not to its own code.
"""

from dataclasses import dataclass
from struct import pack, unpack

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import InstallKeypair
from wgpy.datapath import Datagram

SECOND = 10**9
NOW = 1000 * SECOND
REJECT_AFTER_TIME = 180 * SECOND
REJECT_AFTER_MESSAGES = 2**64 - 2**13 - 1
MTU = 1420

LOCAL_HOST, REMOTE_HOST, STRANGE_HOST = "10.0.0.1", "10.0.0.2", "10.9.9.9"
LOCAL_HOST6, REMOTE_HOST6, STRANGE_HOST6 = "fd00::1", "fd00::2", "fd09::9"
HOME = Endpoint("192.0.2.2", 51820)
AWAY = Endpoint("2001:db8::2", 1024)


@dataclass(frozen=True)
class Message:
    """A data message, read."""

    receiver_index: int
    counter: int
    packet: bytes  # padded


@dataclass
class Remote:
    """One keypair of the data path under test, from the other side."""

    local_index: int = 0x11111111  # the data path's
    remote_index: int = 0x22222222
    sending_key: bytes = b"data path sends."
    receiving_key: bytes = b"data path reads."
    counter: int = 0

    def keypair(
        self,
        peer: int,
        *,
        reject_after_time: int = NOW + REJECT_AFTER_TIME,
        rekey_after_sent_time: int | None = None,
        rekey_after_received_time: int | None = None,
    ) -> InstallKeypair:
        return InstallKeypair(
            peer,
            self.local_index,
            self.remote_index,
            self.sending_key * 2,
            self.receiving_key * 2,
            reject_after_time,
            rekey_after_sent_time,
            rekey_after_received_time,
        )

    def seal(self, packet: bytes = b"", counter: int | None = None) -> bytes:
        """A data message with the next counter, or the one given; the packet is not padded."""
        if counter is None:
            counter = self.counter
            self.counter += 1
        sealed = ChaCha20Poly1305(self.receiving_key * 2).encrypt(pack("<4xQ", counter), packet, None)
        return pack("<IIQ", 4, self.local_index, counter) + sealed

    def open(self, datagram: Datagram) -> Message:
        """Raises InvalidTag for what this end cannot read."""
        kind, index, counter = unpack("<IIQ", datagram.data[:16])
        assert kind == 4
        assert index == self.remote_index
        packet = ChaCha20Poly1305(self.sending_key * 2).decrypt(
            pack("<4xQ", counter), datagram.data[16:], None
        )
        return Message(index, counter, packet)
