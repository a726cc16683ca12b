"""The small parts of the C data path, with the faces of their twins in Python."""

from pathlib import Path
from struct import iter_unpack
from typing import Any

from tests.fastpath.extension import build_extension
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import AllowedIP

NAMES = "allowedips", "replay", "blake2s", "cookie", "siphash"
HEADERS = "errors.h", *(f"{name}.h" for name in NAMES)


class Parts:
    """The extension, and makers of what is in it."""

    def __init__(self, place: Path) -> None:
        self._ffi, self._lib = build_extension(NAMES, HEADERS, place)

    def allowed_ips(self) -> "AllowedIPs":
        return AllowedIPs(self._ffi, self._lib)

    def replay_window(self) -> "ReplayWindow":
        return ReplayWindow(self._ffi, self._lib)

    def mac1(self, public_key: bytes) -> "Mac1":
        return Mac1(self._ffi, self._lib, public_key)

    def cookie_secret(self, secret: bytes) -> "CookieSecret":
        return CookieSecret(self._ffi, self._lib, secret)

    def blake2s(self, data: bytes, key: bytes, digest_size: int) -> bytes:
        out = self._ffi.new("uint8_t[]", b"\xa5" * 40)
        self._lib.wgfp_blake2s(out, digest_size, key, len(key), self._exactly(data), len(data))
        assert bytes(out)[digest_size:40] == b"\xa5" * (40 - digest_size)
        return bytes(out)[:digest_size]

    def blake2s_mac(self, data: bytes, key: bytes) -> bytes:
        prepared = self._ffi.new("struct wgfp_blake2s_key *")
        self._lib.wgfp_blake2s_key_init(prepared, key)
        out = self._ffi.new("uint8_t[16]")
        self._lib.wgfp_blake2s_mac(out, prepared, self._exactly(data), len(data))
        return bytes(out)

    def siphash(self, key: bytes, data: bytes) -> int:
        return int(self._lib.wgfp_siphash(key, self._exactly(data), len(data)))

    def _exactly(self, data: bytes) -> Any:
        return self._ffi.from_buffer("uint8_t[]", data) if data else self._ffi.NULL


class AllowedIPs:
    def __init__(self, ffi: Any, lib: Any) -> None:
        self._ffi = ffi
        self._lib = lib
        self._routes = ffi.gc(lib.wgfp_allowedips_new(), lib.wgfp_allowedips_free)

    def __len__(self) -> int:
        return int(self._lib.wgfp_allowedips_count(self._routes))

    def insert(self, prefix: AllowedIP, peer: int) -> None:
        """Raises ValueError for what is no prefix."""
        address, length = prefix
        result = self._lib.wgfp_allowedips_insert(self._routes, address, len(address), length, peer)
        if result == self._lib.WGFP_ERR_INVALID:
            raise ValueError(repr(prefix))
        assert result == 0

    def remove(self, prefix: AllowedIP, peer: int) -> None:
        address, length = prefix
        self._lib.wgfp_allowedips_remove(self._routes, address, len(address), length, peer)

    def of_peer(self, peer: int) -> list[AllowedIP]:
        count = self._lib.wgfp_allowedips_of_peer(self._routes, peer, self._ffi.NULL, 0)
        prefixes = bytearray(18 * count)
        buffer = self._ffi.from_buffer("uint8_t[]", prefixes)
        assert self._lib.wgfp_allowedips_of_peer(self._routes, peer, buffer, count) == count
        return [
            AllowedIP(address[:size], length) for address, size, length in iter_unpack("=16sBB", prefixes)
        ]

    def remove_peer(self, peer: int) -> None:
        self._lib.wgfp_allowedips_remove_peer(self._routes, peer)

    def lookup(self, address: bytes) -> int | None:
        look_up = {4: self._lib.wgfp_allowedips_lookup4, 16: self._lib.wgfp_allowedips_lookup6}[len(address)]
        return look_up(self._routes, address) or None


class ReplayWindow:
    def __init__(self, ffi: Any, lib: Any) -> None:
        self._lib = lib
        self._window = ffi.new("struct wgfp_replay *")

    def accept(self, counter: int) -> bool:
        return bool(self._lib.wgfp_replay_accept(self._window, counter))


class Mac1:
    def __init__(self, ffi: Any, lib: Any, public_key: bytes) -> None:
        self._lib = lib
        self._state = ffi.new("struct wgfp_mac1 *")
        self.buffer = ffi.buffer(self._state)
        lib.wgfp_mac1_init(self._state, public_key)

    def is_valid(self, message: bytes) -> bool:
        return bool(self._lib.wgfp_mac1_valid(self._state, message, len(message)))

    def clear(self) -> None:
        self._lib.wgfp_mac1_clear(self._state)


class CookieSecret:
    def __init__(self, ffi: Any, lib: Any, secret: bytes) -> None:
        self._lib = lib
        self._state = ffi.new("struct wgfp_cookie_secret *")
        self.buffer = ffi.buffer(self._state)
        lib.wgfp_cookie_secret_init(self._state, secret)

    def is_valid(self, message: bytes, source: Endpoint) -> bool:
        """Is mac2 the one for this source?"""
        address, port = source.packed()[:-2], source.port
        return bool(
            self._lib.wgfp_mac2_valid(self._state, message, len(message), address, len(address), port)
        )

    def clear(self) -> None:
        self._lib.wgfp_cookie_secret_clear(self._state)
