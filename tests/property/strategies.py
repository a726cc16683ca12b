"""Random values that more than one of these files draws from."""

from hypothesis import strategies as st

from wgpy.contract.orders import AllowedIP

key_bytes = st.binary(min_size=32, max_size=32)
uint16 = st.integers(0, 2**16 - 1)
uint32 = st.integers(0, 2**32 - 1)


def _masked(address: bytes, length: int) -> AllowedIP:
    host_bits = len(address) * 8 - length
    return AllowedIP((int.from_bytes(address) >> host_bits << host_bits).to_bytes(len(address)), length)


prefixes = st.builds(_masked, st.binary(min_size=4, max_size=4), st.integers(0, 32)) | st.builds(
    _masked, st.binary(min_size=16, max_size=16), st.integers(0, 128)
)
