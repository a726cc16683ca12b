"""`wgpy doctor kubernetes`: each wrong setting is named, with the right one."""

from argparse import Namespace
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from wgpy.cli.doctor.finding import Finding, Verdict, show
from wgpy.cli.doctor.host_state import HostState, MeshNode
from wgpy.cli.doctor.kube_proxy import KubeProxy, read_kube_proxy
from wgpy.cli.doctor.kubernetes_checks import examine
from wgpy.cli.doctor.kubernetes_host import read_cni, read_node_ips, read_order

MARK = 0x1097
PODS = ip_network("10.244.2.0/24")
IPTABLES = """\
*nat
:KUBE-MARK-MASQ - [0:0]
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m comment --comment "traffic requiring SNAT" -j MASQUERADE --random-fully
-A KUBE-SEP-A -s 10.180.0.1/32 -m comment --comment "ns1/svc1" -j KUBE-MARK-MASQ
-A KUBE-SVC-A {local}-d 172.30.0.41/32 -p tcp -m tcp --dport 80 -j {target}
-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE --random-fully
COMMIT
"""
OF_IPTABLES = IPTABLES.format(local="! -s 10.244.0.0/16 ", target="KUBE-MARK-MASQ")
# As nft 1.0.9 lists what kube-proxy 1.37 makes.
NFTABLES = """\
table ip kube-proxy {{
	map service-ips {{
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = {{ 10.96.0.1 . tcp . 443 : goto service-1 }}
	}}

	chain masquerading {{
		meta mark & 0x00004000 != 0x00000000 meta mark set meta mark ^ 0x00004000 masquerade fully-random
	}}

	chain services {{
		{rule}
	}}
}}
"""
OF_NFTABLES = NFTABLES.format(
    rule="ip daddr @cluster-ips ip saddr != 10.244.0.0/16 meta mark set meta mark | 0x00004000"
)
OF_PODS = "-A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully\n"
CNI = {"name": "x", "plugins": [{"type": "bridge", "mtu": 1380}, {"type": "portmap"}]}
SETTINGS = {
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/forwarding": "0",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/mesh0/rp_filter": "0",
    "ipv4/ip_forward_use_pmtu": "0",
    "netfilter/nf_conntrack_count": "9",
    "netfilter/nf_conntrack_max": "262144",
}
BRIDGE: dict[str, Any] = {
    "ifname": "cni0",
    "mtu": 1380,
    "linkinfo": {"info_kind": "bridge"},
    "addr_info": [{"local": "10.244.2.1", "prefixlen": 24, "scope": "global"}],
}
VXLAN: dict[str, Any] = {
    "ifname": "flannel.1",
    "mtu": 1330,
    "linkinfo": {"info_kind": "vxlan", "info_data": {"link": "mesh0", "local": "100.80.0.2"}},
}
NODE = MeshNode("mesh0", ("100.80.0.2", "fd00::2"), 1380, MARK, (PODS,), "wgpyd-mesh@prod.service")
ROUTED = HostState(
    node=NODE,
    links=[BRIDGE],
    settings=SETTINGS,
    firewall=OF_IPTABLES + OF_PODS,
    cni_file="/etc/cni/net.d/10-x.conflist",
    cni=CNI,
    node_ips=NODE.addresses,
    later_units={"kubelet.service": True},
)
OVERLAID = replace(
    ROUTED,
    node=replace(NODE, announced=()),
    links=[{**BRIDGE, "mtu": 1330}, VXLAN],
    settings={**SETTINGS, "ipv4/ip_forward_use_pmtu": "1"},
    cni={"plugins": [{"type": "flannel"}]},
    offloaded={"flannel.1": True},
)


def setting(name: str, value: str, host: HostState = ROUTED) -> HostState:
    return replace(host, settings={**host.settings, name: value})


def vxlan(**data: object) -> HostState:
    info = {**VXLAN["linkinfo"]["info_data"], **data}
    return replace(OVERLAID, links=[{**VXLAN, "linkinfo": {"info_kind": "vxlan", "info_data": info}}])


@pytest.mark.parametrize("host", [ROUTED, OVERLAID], ids=["routed", "overlay"])
def test_nothing_is_wrong_with_a_host_that_is_told_all_of_it(host: HostState) -> None:
    assert not [finding for finding in examine(host) if finding.verdict is Verdict.WRONG]


@pytest.mark.parametrize(
    ("check", "remedy", "host"),
    [
        ("node-ip", "--node-ip=$(wgpy mesh node-ip)", replace(ROUTED, node_ips=())),
        ("node-ip", "--node-ip=$(wgpy mesh node-ip)", replace(ROUTED, node_ips=("192.168.1.7",))),
        ("start order", "systemctl enable", replace(ROUTED, later_units={"k3s.service": False})),
        ("kube-proxy's mark", "masqueradeBit: 31", replace(ROUTED, node=replace(NODE, fwmark=51820))),
        (
            "kube-proxy's clusterCIDR",
            "clusterCIDR",
            replace(ROUTED, firewall=OF_PODS + IPTABLES.format(local="", target="KUBE-SEP-A")),
        ),
        ("forwarding", "net.ipv4.ip_forward=1", setting("ipv4/ip_forward", "0")),
        (
            "forwarding",
            "net.ipv6.conf.all.forwarding=1",
            replace(ROUTED, node=replace(NODE, announced=(PODS, ip_network("fd77:244:0:2::/64")))),
        ),
        ("forwarding", "`nft x` lets it", replace(ROUTED, obstacles=("DOCKER drops: `nft x` lets it pass",))),
        ("rp_filter", "net.ipv4.conf.mesh0.rp_filter=2", setting("ipv4/conf/all/rp_filter", "1")),
        ("MTU of the CNI", '"mtu": 1380', replace(ROUTED, cni={"plugins": [{"type": "bridge"}]})),
        ("MTU of the CNI", '"mtu": 1380', replace(ROUTED, cni={"type": "ptp", "mtu": 1500})),
        ("MTU of the CNI", '"mtu": 1380', replace(ROUTED, cni={"type": "ptp", "mtu": "1300"})),
        ("MTU of the CNI", '"mtu": 1330', replace(OVERLAID, cni=CNI)),
        ("MTU of pods", "made anew", replace(ROUTED, links=[{**BRIDGE, "mtu": 1500}])),
        ("MTU of pods", "made anew", replace(OVERLAID, links=[BRIDGE, VXLAN])),
        ("MTU of flannel.1", "mtu 1330", replace(OVERLAID, links=[{**VXLAN, "mtu": 1450}])),
        ("checksums of flannel.1", "udpcsum", vxlan(udp_csum=False)),
        ("checksums of flannel.1", "udp6zerocsumtx", vxlan(local6="fd00::2", udp_zero_csum6_tx=True)),
        ("offload of flannel.1", "ethtool -K flannel.1", replace(OVERLAID, offloaded={"flannel.1": False})),
        ("path MTU", "ip_forward_use_pmtu=1", setting("ipv4/ip_forward_use_pmtu", "0", OVERLAID)),
        ("masquerade of pods", "--ip-masq", replace(OVERLAID, firewall=OF_IPTABLES)),
        ("masquerade of pods", "--cni", replace(ROUTED, firewall=OF_NFTABLES)),
        (
            "masquerade of pods",
            "--cni",
            replace(ROUTED, firewall="-A POSTROUTING -s 10.0.0.1/255.0.0.255 -j MASQUERADE"),
        ),
        ("connections", "nf_conntrack_max=524288", setting("netfilter/nf_conntrack_count", "262000")),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_the_right_setting(check: str, remedy: str, host: HostState) -> None:
    found = [finding for finding in examine(host) if finding.verdict is Verdict.WRONG]

    assert check in {finding.check for finding in found}
    assert [finding for finding in found if finding.check == check and remedy in finding.remedy]


@pytest.mark.parametrize(
    ("name", "bridge", "verdict"),
    [
        ("veth1a2b3c4d", "cni0", Verdict.WRONG),
        ("veth1a2b3c4d", "", Verdict.WRONG),
        ("veth1a2b3c4d", "docker0", Verdict.GOOD),
        ("eth0", "", Verdict.GOOD),
    ],
    ids=["port of the bridge", "of ptp", "of Docker", "of a host that is a container"],
)
def test_only_ends_of_pods_have_to_fit(name: str, bridge: str, verdict: Verdict) -> None:
    link = {"ifname": name, "mtu": 1500, "master": bridge, "linkinfo": {"info_kind": "veth"}}

    found = examine(replace(ROUTED, links=[BRIDGE, link]))

    assert [finding.verdict for finding in found if finding.check == "MTU of pods"] == [verdict]


def test_what_a_host_does_not_show_is_not_wrong() -> None:
    found = examine(HostState(node=replace(NODE, announced=())))

    assert {finding.verdict for finding in found} == {Verdict.UNKNOWN, Verdict.GOOD}


def test_the_plugin_of_the_cni_may_masquerade_itself() -> None:
    cni = {"plugins": [{"type": "bridge", "mtu": 1380, "ipMasq": True}]}

    found = examine(replace(ROUTED, firewall=OF_IPTABLES, cni=cni))

    assert not [finding for finding in found if finding.verdict is Verdict.WRONG]


@pytest.mark.parametrize(
    ("firewall", "proxy"),
    [
        ("", KubeProxy(0, False, False)),
        ("table ip nat {\n}\n", KubeProxy(0, False, False)),
        (OF_IPTABLES, KubeProxy(0x4000, True, True)),
        (IPTABLES.format(local="", target="KUBE-SEP-A"), KubeProxy(0x4000, True, False)),
        (IPTABLES.format(local="", target="KUBE-MARK-MASQ"), KubeProxy(0x4000, True, True)),
        (IPTABLES.format(local="! -i cni0 ", target="KUBE-MARK-MASQ"), KubeProxy(0x4000, True, True)),
        (OF_NFTABLES, KubeProxy(0x4000, True, True)),
        (NFTABLES.format(rule="ip daddr . th dport vmap @service-ips"), KubeProxy(0x4000, True, False)),
        (
            NFTABLES.format(rule="ip daddr 10.96.0.1 tcp dport 443 jump mark-for-masquerade"),
            KubeProxy(0x4000, True, True),
        ),
    ],
    ids=["none", "others", "iptables", "not told", "all", "by interface", "nft", "nft, not told", "old nft"],
)  # fmt: skip
def test_kube_proxy_is_known_by_its_rules(firewall: str, proxy: KubeProxy) -> None:
    assert read_kube_proxy(firewall) == proxy


# -- What is read of the host ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "addresses"),
    [
        ("/usr/bin/kubelet --config=x --node-ip=100.80.0.2,fd00::2 --v=2", ("100.80.0.2", "fd00::2")),
        ("/usr/bin/kubelet --node-ip 100.80.0.2", ("100.80.0.2",)),
        ("/opt/hk kubelet --node-ip=100.80.0.2", ("100.80.0.2",)),
        ("/usr/bin/kubelet --config=x", ()),
        ("/usr/local/bin/k3s agent", ("100.80.0.7", "fd00::7")),
        ("/usr/local/bin/k3s agent --node-ip=100.80.0.2", ("100.80.0.2",)),
        ("/usr/local/bin/rke2 agent", ("100.80.0.8", "fd00::8")),
        ("/usr/bin/less kubelet.log", None),
    ],
)
def test_the_addresses_of_kubelet_are_read_where_it_is_told(
    tmp_path: Path, command: str, addresses: tuple[str, ...] | None
) -> None:
    for name, text in (
        ("k3s/config.yaml", 'server: https://x\nnode-ip: "100.80.0.7,fd00::7"\n'),
        ("rke2/config.yaml", "node-ip: 10.0.0.1\n"),
        ("rke2/config.yaml.d/mesh.yaml", "node-ip:\n  - 100.80.0.8\n  - fd00::8\ntoken: 1.2.3.4\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert read_node_ips([["/sbin/init"], command.split()], tmp_path) == addresses


def test_a_runtime_takes_the_first_file_by_name(tmp_path: Path) -> None:
    for name, text in (("00-note.txt", ""), ("10-b.conflist", '{"name": "b"}'), ("05-a.conf", "no json")):
        (tmp_path / name).write_text(text)

    assert read_cni([tmp_path / "none", tmp_path]) == (str(tmp_path / "05-a.conf"), {})
    (tmp_path / "05-a.conf").unlink()
    assert read_cni([tmp_path]) == (str(tmp_path / "10-b.conflist"), {"name": "b"})
    assert read_cni([tmp_path / "none"]) == ("", {})


def test_only_units_that_the_host_has_count() -> None:
    shown = (
        "Id=kubelet.service\nAfter=system.slice wgpyd-mesh@prod.service\nLoadState=loaded\n\n"
        "Id=k3s.service\nAfter=basic.target\nLoadState=loaded\n\nId=rke2.service\nLoadState=not-found\n"
    )

    assert read_order(shown, "wgpyd-mesh@prod.service") == {"kubelet.service": True, "k3s.service": False}
    assert read_order("", "wgpyd-mesh@prod.service") == {}


# -- The report --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("verdict", "status"), [(Verdict.GOOD, 0), (Verdict.UNKNOWN, 0), (Verdict.WRONG, 1)])
def test_the_exit_status_says_whether_anything_is_wrong(
    verdict: Verdict, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = [Finding("a", Verdict.GOOD, "well"), Finding("b", verdict, "so", "do this")]
    try:
        show(Namespace(json=False), "prod", "mesh0", findings)
        found = 0
    except SystemExit as error:
        found = int(str(error.code))

    assert found == status
    assert "do this" in capsys.readouterr().out
