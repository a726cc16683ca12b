"""A router that is asked by UPnP, and what it can do to who asks: it is an HTTP server on loopback."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from async_upnp_client.exceptions import UpnpActionError, UpnpError

from wgpy.host.upnp import UpnpFailed, map_port, service_at

HOST, PORT, OUTSIDE = "127.0.0.1", 51820, "198.41.0.4"
SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"
_DEVICE = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
_IN = {
    "AddPortMapping": "NewRemoteHost NewExternalPort NewProtocol NewInternalPort NewInternalClient "
    "NewEnabled NewPortMappingDescription NewLeaseDuration",
    "GetSpecificPortMappingEntry": "NewRemoteHost NewExternalPort NewProtocol",
    "GetExternalIPAddress": "",
}
_OUT = {
    "AddPortMapping": "",
    "GetSpecificPortMappingEntry": "NewInternalPort NewInternalClient NewEnabled NewPortMappingDescription "
    "NewLeaseDuration",
    "GetExternalIPAddress": "NewExternalIPAddress",
}
_TYPES = {
    "NewExternalPort": "ui2", "NewInternalPort": "ui2", "NewLeaseDuration": "ui4", "NewEnabled": "boolean",
}  # fmt: skip
_ENTRY = {
    "NewInternalPort": str(PORT), "NewInternalClient": HOST, "NewEnabled": "1",
    "NewPortMappingDescription": "wgpy", "NewLeaseDuration": "7200",
}  # fmt: skip


def description(control: str = "/control") -> str:
    service = (
        f"<service><serviceType>{SERVICE}</serviceType><serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId>"
        f"<SCPDURL>/actions</SCPDURL><controlURL>{control}</controlURL><eventSubURL>/events</eventSubURL></service>"
    )
    return (
        '<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device>'
        f"<deviceType>{_DEVICE}</deviceType><friendlyName>router</friendlyName><UDN>uuid:1</UDN>"
        f"<serviceList>{service}</serviceList></device></root>"
    )


def actions() -> str:
    def arguments(names: str, direction: str) -> str:
        return "".join(
            f"<argument><name>{name}</name><direction>{direction}</direction>"
            f"<relatedStateVariable>{name}</relatedStateVariable></argument>"
            for name in names.split()
        )

    names = {name for names in (*_IN.values(), *_OUT.values()) for name in names.split()}
    listed = "".join(
        f"<action><name>{name}</name><argumentList>{arguments(_IN[name], 'in')}{arguments(_OUT[name], 'out')}"
        "</argumentList></action>"
        for name in _IN
    )
    variables = "".join(
        f'<stateVariable sendEvents="no"><name>{name}</name>'
        f"<dataType>{_TYPES.get(name, 'string')}</dataType></stateVariable>"
        for name in names
    )
    return (
        '<?xml version="1.0"?><scpd xmlns="urn:schemas-upnp-org:service-1-0"><actionList>'
        f"{listed}</actionList><serviceStateTable>{variables}</serviceStateTable></scpd>"
    )


def answer(action: str, values: Mapping[str, str]) -> str:
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in values.items())
    return envelope(f'<u:{action}Response xmlns:u="{SERVICE}">{inner}</u:{action}Response>')


def refusal(code: int) -> str:
    return envelope(
        "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>"
        f'<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>{code}</errorCode>'
        "<errorDescription>no</errorDescription></UPnPError></detail></s:Fault>"
    )


def envelope(body: str) -> str:
    return (
        '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        f's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>{body}</s:Body></s:Envelope>'
    )


class _Igd:
    """pages: by path; answers: by action, the next ones; asked: paths and actions so far."""

    def __init__(self, pages: Mapping[str, str], answers: Mapping[str, list[str]]) -> None:
        self.pages = {"/": description(), "/actions": actions(), **pages}
        self.answers = {
            "AddPortMapping": [answer("AddPortMapping", {})],
            "GetSpecificPortMappingEntry": [answer("GetSpecificPortMappingEntry", _ENTRY)],
            "GetExternalIPAddress": [answer("GetExternalIPAddress", {"NewExternalIPAddress": OUTSIDE})],
            **answers,
        }
        self.asked: list[str] = []

    def page(self, path: str, action: str) -> str:
        self.asked.append(action or path)
        if not action:
            return self.pages[path]
        found = self.answers[action]
        return found.pop(0) if len(found) > 1 else found[0]


@contextmanager
def igd(pages: Mapping[str, str] | None = None, **answers: list[str]) -> Iterator[tuple[str, _Igd]]:
    """A router that maps what it is asked for, but for these pages and answers; gives its URL."""
    device = _Igd(pages or {}, answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(device.page(self.path, ""))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._send(device.page(self.path, self.headers["SOAPAction"].strip('"').rpartition("#")[2]))

        def _send(self, page: str) -> None:
            self.send_response(500 if "<s:Fault>" in page else 200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}/", device
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def mapped(url: str, router: str = HOST) -> Mapping[str, object]:
    async def scenario() -> Mapping[str, object]:
        return await map_port(await service_at(url, router, HOST), HOST, PORT, 7200, PORT)

    return asyncio.run(scenario())


def test_a_router_maps_a_port() -> None:
    with igd() as (url, device):
        assert mapped(url) == {"address": OUTSIDE, "port": PORT, "lifetime": 7200}

    assert device.asked == [
        "/", "/actions", "AddPortMapping", "GetSpecificPortMappingEntry", "GetExternalIPAddress"
    ]  # fmt: skip


def test_a_port_that_another_host_has_is_replaced_by_another_one() -> None:
    done = answer("AddPortMapping", {})
    with igd(AddPortMapping=[refusal(718), done]) as (url, _):
        assert mapped(url)["port"] != PORT


def test_no_more_than_three_ports_are_tried() -> None:
    with igd(AddPortMapping=[refusal(718)]) as (url, device), pytest.raises(UpnpFailed, match="by other"):
        mapped(url)

    assert device.asked.count("AddPortMapping") == 3


def test_a_router_that_maps_for_ever_only_is_asked_for_that() -> None:
    for_ever = answer("GetSpecificPortMappingEntry", {**_ENTRY, "NewLeaseDuration": "0"})
    done = answer("AddPortMapping", {})
    with igd(AddPortMapping=[refusal(725), done], GetSpecificPortMappingEntry=[for_ever]) as (url, _):
        assert mapped(url)["lifetime"] == 7200


def test_a_refusal_has_its_number() -> None:
    with igd(AddPortMapping=[refusal(606)]) as (url, _), pytest.raises(UpnpActionError) as refused:
        mapped(url)

    assert refused.value.error_code == 606


@pytest.mark.parametrize("lie", [{"NewInternalClient": "192.168.1.66"}, {"NewInternalPort": "22"}])
def test_a_port_that_leads_to_another_host_is_not_ours(lie: Mapping[str, str]) -> None:
    entry = answer("GetSpecificPortMappingEntry", {**_ENTRY, **lie})

    with (
        igd(GetSpecificPortMappingEntry=[entry]) as (url, _),
        pytest.raises(UpnpFailed, match="another host"),
    ):
        mapped(url)


@pytest.mark.parametrize(
    "control", ["http://127.0.0.2:9/control", "http://[::1]:9/", "file:///etc/passwd", "//evil/"]
)
def test_a_router_leads_who_asks_nowhere_else(control: str) -> None:
    with igd({"/": description(control)}) as (url, device), pytest.raises(UpnpFailed, match="maps no ports"):
        mapped(url)

    assert device.asked == ["/"]


def test_nobody_but_the_router_is_asked_wherever_its_description_is() -> None:
    with igd() as (url, device), pytest.raises(OSError, match="refused"):
        mapped(url, router="127.0.0.2")

    assert device.asked == []


def test_a_router_with_too_much_to_read_is_given_up() -> None:
    head, _, rest = description().partition("<serviceList>")
    service, _, tail = rest.partition("</serviceList>")
    page = f"{head}<serviceList>{40 * service}</serviceList>{tail}"

    with igd({"/": page}) as (url, device), pytest.raises(UpnpFailed, match="too much to read"):
        mapped(url)
    assert len(device.asked) == 32


_BOMB = '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "{}"><!ENTITY b "{}"><!ENTITY c "{}">]><root>&c;</root>'


@pytest.mark.parametrize(
    "page",
    [
        "",
        "no XML",
        "<root/>",
        _BOMB.format("x" * 1000, "&a;" * 1000, "&b;" * 1000),
        '<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><root>&a;</root>',
        f"{'<a>' * 50_000}",
    ],
    ids=["empty", "no XML", "another document", "bomb", "file", "deep"],
)
def test_what_is_no_description_is_refused(page: str) -> None:
    with igd({"/": page}) as (url, _), pytest.raises((UpnpError, ValueError)):
        mapped(url)


def test_more_than_a_router_has_to_say_is_not_read() -> None:
    with igd({"/": " " * (1 << 20)}) as (url, _), pytest.raises(UpnpFailed, match="too much"):
        mapped(url)
