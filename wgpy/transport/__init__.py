"""How datagrams leave this host and arrive: what any transport offers to the driver.

The first is `udp`: UDP sockets, our own or handed in.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from wgpy.contract.endpoint import Endpoint


class Received(NamedTuple):
    """A datagram from the network. tos: TOS byte or traffic class of its outer header."""

    data: bytes
    source: Endpoint
    tos: int


class Transport(Protocol):
    """Sends and receives datagrams at a port, until `close`."""

    @property
    def port(self) -> int: ...

    @property
    def mark(self) -> int:
        """The fwmark of what is sent, 0 for none."""

    @property
    def is_routed_here(self) -> bool:
        """Whether datagrams take the routes of this process's network namespace."""

    def filenos(self) -> list[tuple[int, int]]:
        """Descriptors to watch, for each queue those for IPv4 and IPv6; -1 where there is none."""

    def receive(self, fileno: int, at_most: int) -> Iterable[Received]:
        """The datagrams that wait at this descriptor, the oldest first."""

    def send(self, data: bytes, to: Endpoint, tos: int) -> bool:
        """Send from the endpoint's local address, or from any if that fails: then the answer is False.

        False says that the local address is no good any more. Raises OSError if the datagram was not sent.
        """

    def configured(self, port: int | None, mark: int) -> "Transport":
        """This transport, now with that mark; or, for another port, a new transport beside this one.

        port: None for the same, 0 for any. Raises OSError or StateError, and then nothing has changed.
        """

    def join_datagrams(self) -> None:
        """Let equally long datagrams come in as one, if that can be; `receive` is of no use then."""

    def close(self) -> None: ...
