"""Keys against random input: whatever is accepted prints back as it came; the rest is a ValueError."""

from hypothesis import given
from hypothesis import strategies as st

from wgpy.keys import PresharedKey, PublicKey


@given(st.binary(min_size=32, max_size=32))
def test_any_32_bytes_survive_both_text_forms(data: bytes) -> None:
    key = PublicKey(data)
    assert PublicKey.from_base64(key.base64()) == key
    assert PublicKey.from_hex(key.hex()) == key


@given(st.text() | st.text("ABab09+/=", min_size=43, max_size=45))
def test_base64_that_is_accepted_is_the_only_spelling(text: str) -> None:
    try:
        key = PresharedKey.from_base64(text)
    except ValueError:
        return
    assert key.base64() == text


@given(st.text() | st.text("0123456789abcdefABCDEFg ", min_size=63, max_size=65))
def test_hexadecimal_that_is_accepted_is_the_key_in_either_case(text: str) -> None:
    try:
        key = PresharedKey.from_hex(text)
    except ValueError:
        return
    assert key.hex() == text.lower()
