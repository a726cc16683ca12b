"""Keys: text forms, what is refused, and that secrets stay secret."""

import pytest

import wgpy
from wgpy.keys import Key, PresharedKey, PrivateKey, PublicKey

# RFC 7748 section 6.1: Alice's and Bob's keys.
ALICE_PRIVATE = "77076d0a7318a57d3c16c17251b26645df0173d8c2c2a1aa9c9cb8b8e2cba2a6"
BOB_PRIVATE = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
BOB_PUBLIC = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"

KINDS = (PublicKey, PrivateKey, PresharedKey)


def test_a_public_key_belongs_to_its_private_key_as_rfc_7748_says() -> None:
    assert PrivateKey.from_hex(BOB_PRIVATE).public_key() == PublicKey.from_hex(BOB_PUBLIC)


def test_a_private_key_is_clamped_as_it_is_made() -> None:
    key = bytes(PrivateKey(b"\xff" * 32))
    assert key[0] == 0xF8
    assert key[31] == 0x7F


def test_a_private_key_of_zeros_means_none_and_stays_zeros() -> None:
    key = PrivateKey(bytes(32))
    assert not key
    assert bytes(key) == bytes(32)


@pytest.mark.parametrize("kind", KINDS)
def test_text_forms_read_back_as_the_same_key(kind: type[Key]) -> None:
    key = kind(bytes(range(64, 96)))
    assert kind.from_base64(key.base64()) == key
    assert kind.from_hex(key.hex()) == key


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_made_of_bytes_and_of_the_text_of_files(kind: type[Key]) -> None:
    key = kind(bytes(range(64, 96)))

    assert kind(key.base64()) == kind(bytearray(bytes(key))) == kind(memoryview(bytes(key))) == key


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", ["", "a" * 32, "0" * 64, b"A" * 44, b""])
def test_what_cannot_be_a_key_is_refused_and_not_repeated(kind: type[Key], data: str | bytes) -> None:
    with pytest.raises(wgpy.InputError, match="WireGuard key") as caught:
        kind(data)
    assert not data or str(data) not in str(caught.value)


@pytest.mark.parametrize("data", [32, None, [1] * 32, PrivateKey(b"\x11" * 32)], ids=type)
def test_what_is_of_another_type_is_no_key(data: object) -> None:
    with pytest.raises(TypeError, match="want a key as text or bytes, not "):
        PublicKey(data)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_has_32_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        PublicKey(bytes(length))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A" * 43,
        "A" * 44,
        "A" * 42 + "==",
        "A" * 42 + "B=",  # two bits set that no byte holds
        " " + "A" * 43 + "=",
        "A" * 43 + "=\n",
        "_" + "A" * 42 + "=",
        "é" * 43 + "=",
    ],
)
def test_other_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a WireGuard key"):
        PublicKey.from_base64(text)


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "g" * 64, " 0" * 32, "0" * 63 + "\n", "²" * 64])
def test_other_hexadecimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="want 64 hexadecimal digits"):
        PublicKey.from_hex(text)


@pytest.mark.parametrize("kind", [PrivateKey, PresharedKey])
def test_a_secret_is_in_neither_repr_nor_str(kind: type[Key]) -> None:
    key = kind.from_hex(ALICE_PRIVATE)
    for shown in (repr(key), str(key), f"{key}", repr([key])):
        assert key.hex() not in shown
        assert key.base64() not in shown


def test_a_public_key_shows_itself() -> None:
    key = PublicKey.from_hex(BOB_PUBLIC)
    assert str(key) == "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="
    assert repr(key) == "PublicKey('3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=')"


def test_an_error_does_not_repeat_the_secret_it_is_about() -> None:
    with pytest.raises(ValueError, match="not a WireGuard key") as caught:
        PrivateKey.from_base64("very secret")
    assert "very secret" not in str(caught.value)


def test_keys_of_different_kinds_are_never_equal() -> None:
    data = bytes(range(64, 96))
    assert len({kind(data) for kind in KINDS}) == 3
    assert PublicKey(data) != data


@pytest.mark.parametrize("kind", [PrivateKey, PresharedKey])
def test_generated_keys_differ(kind: type[PrivateKey] | type[PresharedKey]) -> None:
    assert kind.generate() != kind.generate()
