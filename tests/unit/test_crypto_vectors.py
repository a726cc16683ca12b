"""The primitives give what their specifications print.

Vector files are those of the `cryptography-vectors` package; numbers too few for a file stand here,
each beside its source.
"""

import hashlib
import hmac as standard_hmac
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cryptography_vectors
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wgpy.contract.messages import nonce
from wgpy.engine import crypto

VECTORS = Path(cryptography_vectors.__file__).parent


def fields(text: str) -> Iterator[tuple[str, str]]:
    """Name and value of each line `name = value`, names in upper case."""
    for line in text.splitlines():
        name, found, value = line.partition("=")
        if found and not line.startswith("#"):
            yield name.strip().upper(), value.strip()


def records(path: str, first: str) -> list[dict[str, str]]:
    """The records of a vector file, each of which begins with the field `first`."""
    found: list[dict[str, str]] = []
    for name, value in fields((VECTORS / path).read_text()):
        if name == first:
            found.append({})
        found[-1][name] = value
    assert found, path
    return found


def unquoted(value: str) -> bytes:
    """BoringSSL's notation: a string in quotes, or hexadecimal digits."""
    return value[1:-1].encode() if value.startswith('"') else bytes.fromhex(value)


def changed(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


# -- X25519 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record", records("asymmetric/X25519/rfc7748.txt", "COUNT"), ids=lambda r: r["COUNT"]
)
def test_x25519_gives_the_outputs_of_rfc_7748(record: dict[str, str]) -> None:
    scalar, u = bytes.fromhex(record["INPUT_SCALAR"]), bytes.fromhex(record["INPUT_U"])

    assert crypto.dh(scalar, u) == bytes.fromhex(record["OUTPUT_U"])


def test_x25519_gives_the_outputs_of_rfc_7748_after_one_and_a_thousand_iterations() -> None:
    k = u = (9).to_bytes(32, "little")
    outputs = []
    for _ in range(1000):
        k, u = crypto.dh(k, u), k
        outputs.append(k.hex())

    # RFC 7748 section 5.2
    assert outputs[0] == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
    assert outputs[-1] == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


def test_two_private_keys_agree_on_the_secret_of_rfc_7748() -> None:
    # RFC 7748 section 6.1
    alice = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    bob = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    alice_public = crypto.dh_public(alice)
    bob_public = crypto.dh_public(bob)

    assert alice_public.hex() == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    assert bob_public.hex() == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    secret = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    assert crypto.dh(alice, bob_public).hex() == crypto.dh(bob, alice_public).hex() == secret


@given(st.binary(min_size=32, max_size=32))
def test_clamping_changes_no_result_and_leaves_the_form_of_rfc_7748(private_key: bytes) -> None:
    clamped = crypto.clamp(private_key)

    scalar = int.from_bytes(clamped, "little")
    assert scalar % 8 == 0
    assert scalar >> 254 == 1
    assert crypto.dh_public(clamped) == crypto.dh_public(private_key)


P = 2**255 - 19
# The u-coordinate of every point whose order divides 8, on the curve and on its twist, in each
# encoding below 2^255. RFC 7748 section 5 has the bit above that ignored.
LOW_ORDER = {
    "zero": 0,
    "one": 1,
    "order_8": int.from_bytes(
        bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"), "little"
    ),
    "other_order_8": int.from_bytes(
        bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"), "little"
    ),
    "minus_one": P - 1,
    "zero_not_reduced": P,
    "one_not_reduced": P + 1,
}


@pytest.mark.parametrize("u", LOW_ORDER.values(), ids=LOW_ORDER.keys())
@pytest.mark.parametrize("top_bit", [0, 1])
def test_every_public_key_of_low_order_is_refused(u: int, top_bit: int) -> None:
    public_key = (u | top_bit << 255).to_bytes(32, "little")
    private_key = bytes(range(32))

    with pytest.raises(crypto.LowOrderKey):
        crypto.dh(private_key, public_key)


# -- X25519 of many pairs ------------------------------------------------------------------------

RFC_7748 = records("asymmetric/X25519/rfc7748.txt", "COUNT")
NEAR_P = [*range(40), *range(P - 40, 2**255)]  # reduced or not


@pytest.mark.parametrize("count", range(1, 10))
def test_x25519_of_many_pairs_gives_the_outputs_of_rfc_7748(count: int) -> None:
    pairs = [(bytes.fromhex(record["INPUT_SCALAR"]), bytes.fromhex(record["INPUT_U"])) for record in RFC_7748]
    outputs = [bytes.fromhex(record["OUTPUT_U"]) for record in RFC_7748]

    assert crypto.dh_many((pairs * count)[:count]) == (outputs * count)[:count]


def test_x25519_of_many_pairs_gives_the_outputs_of_rfc_7748_after_a_thousand_iterations() -> None:
    k = u = (9).to_bytes(32, "little")
    for _ in range(1000):
        (output,) = crypto.dh_many([(k, u)])
        assert output
        k, u = output, k

    assert k.hex() == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


def one_by_one(pairs: list[tuple[bytes, bytes]]) -> list[bytes | None]:
    secrets: list[bytes | None] = []
    for pair in pairs:
        try:
            secrets.append(crypto.dh(*pair))
        except crypto.LowOrderKey:
            secrets.append(None)
    return secrets


@given(st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))))
def test_x25519_of_many_pairs_is_that_of_each(pairs: list[tuple[bytes, bytes]]) -> None:
    assert crypto.dh_many(pairs) == one_by_one(pairs)


@pytest.mark.parametrize("top_bit", [0, 1])
def test_x25519_of_many_pairs_reduces_points_as_that_of_each(top_bit: int) -> None:
    pairs = [(bytes(range(32)), (u | top_bit << 255).to_bytes(32, "little")) for u in NEAR_P]

    assert crypto.dh_many(pairs) == one_by_one(pairs)


@pytest.mark.parametrize("u", LOW_ORDER.values(), ids=LOW_ORDER.keys())
def test_a_public_key_of_low_order_is_refused_among_others(u: int) -> None:
    good = bytes(range(32)), crypto.BASE_POINT
    bad = bytes(range(32)), u.to_bytes(32, "little")

    assert crypto.dh_many([good, bad, good]) == [crypto.dh_public(bytes(range(32))), None, crypto.dh(*good)]


def test_a_key_of_another_length_is_refused_among_others() -> None:
    good = bytes(range(32)), crypto.BASE_POINT
    for bad in (bytes(31), crypto.BASE_POINT), (bytes(32), bytes(33)):
        with pytest.raises(ValueError, match="32 bytes"):
            crypto.dh_many([good, bad])


WYCHEPROOF = Path(__file__).parents[1] / "vectors/x25519.json"


def wycheproof() -> tuple[list[tuple[bytes, bytes]], list[bytes | None]]:
    """Pairs, and the secret of each: None where it is zeros, which a public key of low order gives."""
    vectors = json.loads(WYCHEPROOF.read_text())["vectors"]
    pairs = [(bytes.fromhex(vector["private"]), bytes.fromhex(vector["public"])) for vector in vectors]
    secrets = [bytes.fromhex(vector["shared"]) for vector in vectors]
    assert (len(secrets), secrets.count(bytes(32))) == (518, 31)
    return pairs, [secret if any(secret) else None for secret in secrets]


@pytest.mark.parametrize("count", range(1, 10))
def test_x25519_of_many_pairs_gives_the_secrets_of_wycheproof(count: int) -> None:
    pairs, secrets = wycheproof()

    found = [crypto.dh_many(pairs[at : at + count]) for at in range(0, len(pairs), count)]

    assert [secret for several in found for secret in several] == secrets


def test_x25519_gives_the_secrets_of_wycheproof_and_refuses_its_keys_of_low_order() -> None:
    pairs, secrets = wycheproof()

    assert one_by_one(pairs) == secrets


WITHOUT_C = "import sys; sys.modules['wgpy._fastpath'] = None\nfrom wgpy.engine import crypto\n"


def run_without_c(program: str, *arguments: str) -> str:
    command = sys.executable, "-c", WITHOUT_C + program, *arguments
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_without_what_is_in_c_the_secrets_of_wycheproof_come_out() -> None:
    program = (
        "import json, pathlib\n"
        "vectors = json.loads(pathlib.Path(sys.argv[1]).read_text())['vectors']\n"
        "pairs = [[bytes.fromhex(one[key]) for key in ('private', 'public')] for one in vectors]\n"
        "print(crypto.dh_many(pairs))"
    )

    assert run_without_c(program, str(WYCHEPROOF)) == f"{wycheproof()[1]}\n"


def test_without_what_is_in_c_the_same_comes_out() -> None:
    program = (
        "key = bytes(range(32))\n"
        "pairs = [(key, crypto.BASE_POINT), (key, bytes(32)), (key, crypto.dh_public(key))]\n"
        "print(crypto.dh_many(pairs))\n"
        "print(*crypto.kdf3(key, b'data'), crypto.kdf2(key, b''), crypto.kdf1(key, key))"
    )

    found = run_without_c(program)

    key = bytes(range(32))
    public_key = crypto.dh_public(key)
    secrets = [public_key, None, crypto.dh(key, public_key)]
    keys = *hkdf(key, b"data", 3), tuple(hkdf(key, b"", 2)), hkdf(key, key, 1)[0]
    assert found.splitlines() == [str(secrets), " ".join(map(str, keys))]


# -- ChaCha20-Poly1305 ---------------------------------------------------------------------------

OPENSSL = records("ciphers/ChaCha20Poly1305/openssl.txt", "COUNT")


@pytest.mark.parametrize("record", OPENSSL, ids=lambda record: record["COUNT"])
def test_aead_gives_what_openssl_gives_and_refuses_what_openssl_refuses(record: dict[str, str]) -> None:
    key, iv, authenticated, plaintext = (
        bytes.fromhex(record[name]) for name in ("KEY", "IV", "AAD", "PLAINTEXT")
    )
    sealed = bytes.fromhex(record["CIPHERTEXT"] + record["TAG"])
    assert iv[:4] == bytes(4), "a nonce that WireGuard can have"
    counter = int.from_bytes(iv[4:], "little")

    if "RESULT" in record:
        with pytest.raises(crypto.InvalidTag):
            crypto.aead_open(key, counter, sealed, authenticated)
    else:
        assert crypto.aead_seal(key, counter, plaintext, authenticated) == sealed
        assert crypto.aead_open(key, counter, sealed, authenticated) == plaintext


def test_a_counter_becomes_four_zero_bytes_and_eight_little_endian_ones() -> None:
    assert nonce(0x0807060504030201).hex() == "000000000102030405060708"
    assert nonce(2**64 - 1).hex() == "00000000ffffffffffffffff"


def test_aead_refuses_a_change_of_any_byte_counter_or_authenticated_data() -> None:
    key, other = bytes(range(32)), bytes(range(1, 33))
    sealed = crypto.aead_seal(key, 7, b"forty-two", b"heading")

    attempts = [(key, 7, changed(sealed, position), b"heading") for position in range(len(sealed))]
    attempts += [(key, 8, sealed, b"heading"), (key, 7, sealed, b"Heading"), (other, 7, sealed, b"heading")]
    attempts += [(key, 7, sealed[:15], b"heading"), (key, 7, b"", b"heading")]
    for attempt in attempts:
        with pytest.raises(crypto.InvalidTag):
            crypto.aead_open(*attempt)


# -- XChaCha20-Poly1305 and HChaCha20 ------------------------------------------------------------

SUNSCREEN = (
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    b"sunscreen would be it."
)


def test_xaead_gives_the_ciphertext_of_the_xchacha_draft() -> None:
    # draft-irtf-cfrg-xchacha-03, appendix A.3.1
    key = bytes(range(0x80, 0xA0))
    nonce = bytes(range(0x40, 0x58))
    authenticated = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    sealed = bytes.fromhex(
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"
        "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
        "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
        "21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49"
    )

    assert crypto.xaead_seal(key, nonce, SUNSCREEN, authenticated) == sealed
    assert crypto.xaead_open(key, nonce, sealed, authenticated) == SUNSCREEN


def test_xaead_derives_its_key_by_the_hchacha20_of_the_xchacha_draft() -> None:
    # draft-irtf-cfrg-xchacha-03, section 2.2.1; the rest of the nonce is ChaCha20's own, section 2.3
    key = bytes(range(32))
    nonce = bytes.fromhex("000000090000004a0000000031415927")
    subkey = bytes.fromhex("82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc")
    rest = bytes.fromhex("0102030405060708")

    sealed = crypto.xaead_seal(key, nonce + rest, SUNSCREEN, b"heading")

    counter = int.from_bytes(rest, "little")
    assert sealed == crypto.aead_seal(subkey, counter, SUNSCREEN, b"heading")


def test_xaead_refuses_a_change_of_any_byte_nonce_or_authenticated_data() -> None:
    key, nonce, cookie = bytes(range(32)), bytes(range(24)), bytes(range(16))
    sealed = crypto.xaead_seal(key, nonce, cookie, b"mac1")

    attempts = [(key, nonce, changed(sealed, position), b"mac1") for position in range(len(sealed))]
    attempts += [(key, changed(nonce, position), sealed, b"mac1") for position in range(len(nonce))]
    attempts += [(key, nonce, sealed, b"mac2"), (changed(key, 31), nonce, sealed, b"mac1")]
    for attempt in attempts:
        with pytest.raises(crypto.InvalidTag):
            crypto.xaead_open(*attempt)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_no_cipher_takes_a_key_of_another_length(length: int) -> None:
    key = bytes(length)

    for cipher in (crypto.aead_seal, crypto.aead_open):
        with pytest.raises(ValueError, match="32"):
            cipher(key, 0, bytes(32), b"")
    with pytest.raises(ValueError, match="32"):
        crypto.xaead_seal(key, bytes(24), bytes(16), b"mac1")


@pytest.mark.parametrize("length", [12, 23, 25])
def test_xaead_takes_no_nonce_of_another_length(length: int) -> None:
    with pytest.raises(ValueError, match="24"):
        crypto.xaead_seal(bytes(32), bytes(length), bytes(16), b"mac1")


def test_ciphers_are_the_same_by_pynacls_public_api() -> None:
    """The public API is used if the private module is missing."""
    program = (
        "import sys, nacl.bindings; sys.modules['nacl._sodium'] = None\n"
        "from wgpy.engine import crypto\n"
        "print(crypto.xaead_seal(bytes(32), bytes(24), b'cookie', b'mac1').hex())\n"
        "sealed = crypto.aead_seal(bytes(32), 7, b'static', b'hash')\n"
        "print(sealed.hex(), crypto.aead_open(bytes(32), 7, sealed, b'hash').decode())\n"
        "try: crypto.aead_open(bytes(32), 8, sealed, b'hash')\n"
        "except crypto.InvalidTag: print('invalid')"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [
        crypto.xaead_seal(bytes(32), bytes(24), b"cookie", b"mac1").hex(),
        crypto.aead_seal(bytes(32), 7, b"static", b"hash").hex(),
        "static",
        "invalid",
    ]


# -- BLAKE2s and what is built on it -------------------------------------------------------------


@pytest.mark.parametrize("record", records("hashes/blake2/blake2s.txt", "LEN"), ids=lambda r: r["LEN"])
def test_hash_gives_the_digests_of_blake2s(record: dict[str, str]) -> None:
    message = bytes.fromhex(record["MSG"])[: int(record["LEN"]) // 8]

    assert crypto.hash_(message).hex() == record["MD"]
    assert crypto.hash_(message[:5], message[5:]).hex() == record["MD"]


def test_hash_and_mac_pass_the_self_test_of_rfc_7693() -> None:
    """Appendix E: one digest over 48. Those of WireGuard's two kinds are computed by our functions."""

    def sequence(length: int) -> bytes:
        a, b = 0xDEAD4BAD * length & 0xFFFFFFFF, 1
        out = bytearray()
        for _ in range(length):
            a, b = b, (a + b) & 0xFFFFFFFF
            out.append(b >> 24)
        return bytes(out)

    digests = []
    for size in (16, 20, 28, 32):
        for length in (0, 3, 64, 65, 255, 1024):
            data, key = sequence(length), sequence(size)
            plain = hashlib.blake2s(data, digest_size=size).digest()
            keyed = hashlib.blake2s(data, key=key, digest_size=size).digest()
            digests.append(crypto.hash_(data) if size == 32 else plain)
            digests.append(crypto.mac(key, data) if size == 16 else keyed)

    expected = "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe"
    assert crypto.hash_(*digests).hex() == expected


@given(key=st.binary(max_size=64), data=st.binary(max_size=300))
def test_hmac_is_the_standard_librarys(key: bytes, data: bytes) -> None:
    assert crypto.hmac(key, data) == standard_hmac.digest(key, data, hashlib.blake2s)


def hkdf(key: bytes, data: bytes, outputs: int) -> list[bytes]:
    """RFC 5869 as it is written, extract and expand without info, over the standard library."""
    secret = standard_hmac.digest(key, data, hashlib.blake2s)
    blocks = [b""]
    for number in range(1, outputs + 1):
        blocks.append(standard_hmac.digest(secret, blocks[-1] + bytes([number]), hashlib.blake2s))
    return blocks[1:]


@given(key=st.binary(min_size=31, max_size=33), data=st.binary(max_size=64))
def test_kdf_is_hkdf_of_rfc_5869(key: bytes, data: bytes) -> None:
    expected = hkdf(key, data, 3)

    assert [crypto.kdf1(key, data)] == expected[:1]
    assert list(crypto.kdf2(key, data)) == expected[:2]
    assert list(crypto.kdf3(key, data)) == expected


@pytest.mark.parametrize(
    ("key", "data", "outputs"),
    [
        (
            b"test-key",
            b"test-input",
            [
                "6f0e5ad38daba1bea8a0d213688736f19763239305e0f58aba697f9ffc41c633",
                "df1194df20802a4fe594cde27e92991c8cae66c366e8106aaa937a55fa371e8a",
                "fac6e2745a325f5dc5d11a5b165aad08b0ada28e7b4e666b7c077934a4d76c24",
            ],
        ),
        (
            b"wireguard",
            b"wireguard",
            [
                "491d43bbfdaa8750aaf535e334ecbfe5129967cd64635101c566d4caefda96e8",
                "1e71a379baefd8a79aa4662212fcafe19a23e2b609a3db7d6bcba8f560e3d25f",
                "31e1ae48bddfbe5de38f295e5452b1909a1b4e38e183926af3780b0c1e1f0160",
            ],
        ),
        (
            b"",
            b"",
            [
                "8387b46bf43eccfcf349552a095d8315c4055beb90208fb1be23b894bc2ed5d0",
                "58a0e5f6faefccf4807bff1f05fa8a9217945762040bcec2f4b4a62bdfe0e86e",
                "0ce6ea98ec548f8e281e93e32db65621c45eb18dc6f0a7ad94178610a2f7338e",
            ],
        ),
    ],
)
def test_kdf_gives_the_outputs_of_wireguard_gos_own_tests(
    key: bytes, data: bytes, outputs: list[str]
) -> None:
    # wireguard-go, device/kdf_test.go
    assert [output.hex() for output in crypto.kdf3(key, data)] == outputs
    assert [output.hex() for output in crypto.kdf2(key, data)] == outputs[:2]
    assert crypto.kdf1(key, data).hex() == outputs[0]
