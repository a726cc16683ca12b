"""The block that has CoreDNS ask the mesh, in settings that others have written."""

from ipaddress import ip_address

import pytest

from wgpy.kubernetes.corefile import changed, imports_servers, stub

# As kubeadm writes it.
COREFILE = """\
.:53 {
    errors
    health {
       lameduck 5s
    }
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
    }
    forward . /etc/resolv.conf
    cache 30
    reload
}
"""
BLOCK = stub("prod.mesh", [ip_address("100.80.3.4"), ip_address("fd12::4")])


def test_a_block_asks_the_first_server_that_answers() -> None:
    assert BLOCK.startswith("prod.mesh:53 {\n")
    assert "    forward . 100.80.3.4 fd12::4 {\n        policy sequential\n" in BLOCK


def test_a_block_comes_behind_what_is_there_and_goes_without_a_trace() -> None:
    found = changed(COREFILE, "prod.mesh", BLOCK)

    assert found.startswith(COREFILE)
    assert BLOCK in found
    assert changed(found, "prod.mesh", "") == COREFILE


def test_settings_whose_last_line_has_no_end_stay_as_they_are_too() -> None:
    text = COREFILE.rstrip("\n")

    found = changed(text, "prod.mesh", BLOCK)

    assert f"\n}}\n# wgpy, prod.mesh: begin\n{BLOCK}" in found
    assert changed(found, "prod.mesh", BLOCK) == found
    assert changed(found, "prod.mesh", "") == text


def test_what_an_operator_adds_behind_a_block_stays() -> None:
    text = COREFILE.rstrip("\n")
    found = changed(text, "prod.mesh", BLOCK)

    for line in ("\n", "\n# by hand\n"):
        assert changed(found + line, "prod.mesh", "") == text + line


def test_another_block_takes_the_place_of_the_one_before() -> None:
    other = stub("prod.mesh", [ip_address("100.80.9.9")])

    found = changed(changed(COREFILE, "prod.mesh", BLOCK), "prod.mesh", other)

    assert found == changed(COREFILE, "prod.mesh", other)


def test_each_network_has_a_block_of_its_own() -> None:
    both = changed(changed(COREFILE, "prod.mesh", BLOCK), "lab.mesh", stub("lab.mesh", []))

    assert changed(both, "prod.mesh", "") == changed(COREFILE, "lab.mesh", stub("lab.mesh", []))


@pytest.mark.parametrize(
    "written",
    [
        "prod.mesh {\n    forward . 100.80.3.4\n}\n",
        "prod.mesh:53 {\n}\n",
        "66.100.in-addr.arpa, PROD.mesh. {\n}\n",
        "dns://prod.mesh:53 { # by hand\n}\n",
        "# wgpy, prod.mesh: begin\nprod.mesh:53 {\n}\n",
    ],
)
def test_a_second_block_for_the_same_zone_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="prod.mesh"):
        changed(COREFILE + written, "prod.mesh", BLOCK)


@pytest.mark.parametrize(
    "written",
    [
        "prod.mesh:1053 {\n}\n",
        "test.prod.mesh {\n}\n",
        "# prod.mesh {\n",
        "example.org {\n    rewrite name prod.mesh example.org\n}\n",
    ],
)
def test_what_only_names_the_zone_is_no_block_for_it(written: str) -> None:
    assert BLOCK in changed(COREFILE + written, "prod.mesh", BLOCK)


def test_settings_say_whether_they_import_blocks_of_an_operator() -> None:
    assert imports_servers(f"{COREFILE}import /etc/coredns/custom/*.server\n")
    assert not imports_servers(f"{COREFILE}# import /etc/coredns/custom/*.server\n")
    assert not imports_servers(COREFILE)
