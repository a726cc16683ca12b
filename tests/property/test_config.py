"""Configuration files against random values and text: what is written reads back; the rest is ConfigError."""

from hypothesis import example, given
from hypothesis import strategies as st

from tests.property.strategies import key_bytes, prefixes, uint16, uint32
from wgpy.address import HostPort
from wgpy.config import Config, ConfigError, PeerConfig, parse, write
from wgpy.keys import PresharedKey, PrivateKey, PublicKey

ports = st.integers(1, 65535)
hosts = st.ip_addresses().map(str) | st.from_regex(
    r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{2,5})?", fullmatch=True
)
commands = st.lists(st.text("abc %i;|&='\"$\\/[]", min_size=1).map(str.strip).filter(len), max_size=3).map(
    tuple
)
addresses = st.ip_addresses().flatmap(
    lambda address: st.integers(0, address.max_prefixlen).map(lambda length: f"{address}/{length}")
)

peers = st.builds(
    PeerConfig,
    st.builds(PublicKey, key_bytes),
    st.none() | st.builds(PresharedKey, key_bytes),
    st.lists(prefixes, max_size=5, unique=True).map(tuple),
    st.none() | st.builds(HostPort, hosts, ports),
    st.none() | uint16,
)
configs = st.builds(
    Config,
    st.none() | st.builds(PrivateKey, key_bytes),
    st.none() | uint16,
    st.none() | uint32,
    st.lists(addresses, max_size=3).map(
        lambda texts: parse("[Interface]\nAddress=" + ",".join(texts)).addresses
    ),
    st.lists(st.ip_addresses().map(str), max_size=2).map(tuple),
    st.lists(st.sampled_from(["example.net", "~corp", "a"]), max_size=2).map(tuple),
    st.none() | st.integers(68, 65535),
    st.none() | st.sampled_from(["auto", "off", "main", "51820", "uplink"]),
    commands,
    commands,
    commands,
    commands,
    st.booleans(),
    st.lists(peers, max_size=3, unique_by=lambda peer: peer.public_key).map(tuple),
)

SECRET = PrivateKey(bytes(range(64, 96))).base64()
words = st.sampled_from(
    [
        *("[Interface]", "[Peer]", "\n", "\r\n", "=", " = ", "#", ",", "[", "]", ":", "/", "-", "\0", "\x1b"),
        *(
            "PrivateKey",
            "PublicKey",
            "PresharedKey",
            "AllowedIPs",
            "Endpoint",
            "Address",
            "DNS",
            "Table",
            "MTU",
        ),
        *("10.0.0.1/8", "::/0", "example.net:1", "51820", "off", "%i", SECRET),
    ]
)


@given(configs)
def test_what_is_written_reads_back(config: Config) -> None:
    assert parse(write(config)) == config


@given(st.lists(words, max_size=40).map("".join) | st.text())
@example(f"[Interface]\n{SECRET}")
def test_any_text_is_a_config_or_a_config_error_without_keys(text: str) -> None:
    try:
        parse(text)
    except ConfigError as error:
        said = str(error)
    else:
        said = ""
    assert SECRET not in said
    assert "\n" not in said
