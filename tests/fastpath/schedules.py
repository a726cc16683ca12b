"""Random schedules for parts_check.c, with the answers that the twins in Python give."""

from collections.abc import Iterator
from hashlib import blake2s
from random import Random

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import AllowedIP
from wgpy.datapath.allowedips import AllowedIPs
from wgpy.datapath.replay import ReplayWindow
from wgpy.engine.cookie import CookieChecker, has_valid_mac2
from wgpy.engine.crypto import hash_, mac

PEERS = 1, 2, 3, 77, 1000


def schedule(random: Random, rounds: int) -> str:
    """So many rounds of each part."""
    parts = allowed_ips(random, rounds), replay(random, rounds), hashes(random, rounds), macs(random, rounds)
    return "".join(f"{line}\n" for part in parts for line in part)


def allowed_ips(random: Random, rounds: int) -> Iterator[str]:
    """Prefixes come, move and go, among them their first and last addresses are looked up."""
    twin = AllowedIPs()
    asked = [bytes(4)]
    for number in range(30 * rounds):
        prefix, peer = random_prefix(random), random.choice(PEERS)
        line = f"{prefix.address.hex()} {prefix.prefix_length} {peer}"
        if random.random() < 0.7:
            twin.insert(prefix, peer)
            asked += edges(prefix)
            yield f"i {line}"
        else:
            twin.remove(prefix, peer)
            yield f"r {line}"
        if number % 300 == 299:
            twin.remove_peer(peer)
            yield f"p {peer}"
        for address in random.choices(asked, k=5):
            yield f"l {address.hex()} {twin.lookup(address) or 0}"
        yield f"n {len(twin)}"


def random_prefix(random: Random) -> AllowedIP:
    """Half of them close together, so that they meet."""
    size = random.choice([4, 16])
    value = random.getrandbits(8 * size) if random.random() < 0.5 else random.getrandbits(6) << 3 * size
    host_bits = random.choice([0, 0, 0, size, 3 * size + 1, random.randint(0, 8 * size), 8 * size])
    return AllowedIP((value >> host_bits << host_bits).to_bytes(size), 8 * size - host_bits)


def edges(prefix: AllowedIP) -> list[bytes]:
    """Its first address, its last, and the one after it."""
    size = len(prefix.address)
    first, bits = int.from_bytes(prefix.address), 8 * size
    after = first + (1 << bits - prefix.prefix_length)
    return [address.to_bytes(size) for address in (first, after - 1, after % (1 << bits))]


def replay(random: Random, rounds: int) -> Iterator[str]:
    for _ in range(rounds):
        twin = ReplayWindow()
        counter = random.getrandbits(random.randint(1, 64))
        yield "w"
        for _ in range(60):
            reach = random.choice([3, 70, 8200, 2**20])
            counter = min(max(0, counter + random.randint(-reach, 2 * reach)), 2**64 - 1)
            yield f"a {counter} {int(twin.accept(counter))}"


def hashes(random: Random, rounds: int) -> Iterator[str]:
    for length in range(4 * rounds):
        key, data = random.randbytes(random.choice([0, 16, 32])), random.randbytes(length)
        digest = blake2s(data, key=key, digest_size=random.randint(1, 32)).hexdigest()
        yield f"h {key.hex() or '-'} {data.hex() or '-'} {digest}"


def macs(random: Random, rounds: int) -> Iterator[str]:
    """Half of the messages have a bit flipped."""
    for _ in range(rounds):
        public_key, secret = random.randbytes(32), random.randbytes(32)
        address = random.choice([f"192.0.2.{random.randint(0, 255)}", f"2001:db8::{random.randint(1, 9)}"])
        source = Endpoint(address, random.randint(0, 65535))
        message = random.randbytes(random.choice([60, 116]))
        message += mac(hash_(b"mac1----", public_key), message)
        message += mac(mac(secret, source.packed()), message)
        if random.random() < 0.5:
            flipped = int.from_bytes(message) ^ 1 << random.randrange(8 * len(message))
            message = flipped.to_bytes(len(message))
        checker = CookieChecker(public_key, {32: secret}.__getitem__)
        yield f"1 {public_key.hex()} {message.hex()} {int(checker.has_valid_mac1(message))}"
        from_where = f"{source.packed()[:-2].hex()} {source.port}"
        is_valid = has_valid_mac2(message, checker.cookie(source, now=0))
        yield f"2 {secret.hex()} {message.hex()} {from_where} {int(is_valid)}"
