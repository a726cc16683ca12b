"""A client of the API server for tests: JSON over one connection a request."""

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlencode

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"


class ApiError(Exception):
    """The API server refused a request. status: of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody who calls the API: by the certificate that the context holds, or by a token.

    connect: makes a connection to the API server; host: the name or address that its certificate has.
    """

    connect: Callable[[], socket.socket]
    context: ssl.SSLContext
    host: str
    token: str = ""

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def create(self, path: str, document: object) -> Any:
        return self.ask("POST", path, document)

    def patch(self, path: str, document: object) -> Any:
        """Merge a document into the one there: RFC 7396."""
        return self.ask("PATCH", path, document, MERGE_PATCH)

    def delete(self, path: str) -> Any:
        return self.ask("DELETE", path)

    def ask(self, method: str, path: str, document: object = None, kind: str = JSON) -> Any:
        """Return the document of the answer, or its text if it is none. Raises ApiError and OSError."""
        connection, response = self._request(method, path, document, kind)
        try:
            said = response.read().decode()
        finally:
            connection.close()
        if response.status >= 300:
            raise ApiError(response.status, said)
        return json.loads(said) if response.headers.get_content_type() == JSON else said

    def events(self, path: str, resource_version: str = "", seconds: int = 60) -> Iterator[Any]:
        """Watch a list: yield the events of so many seconds, after a version of it."""
        query = {"watch": 1, "resourceVersion": resource_version, "timeoutSeconds": seconds}
        connection, response = self._request("GET", f"{path}?{urlencode(query)}", None, JSON)
        try:
            if response.status >= 300:
                raise ApiError(response.status, response.read().decode())
            yield from map(json.loads, response)
        finally:
            connection.close()

    def _request(
        self, method: str, path: str, document: object, kind: str
    ) -> tuple[HTTPConnection, HTTPResponse]:
        connection = HTTPConnection(self.host)
        connection.sock = self.context.wrap_socket(self.connect(), server_hostname=self.host)
        headers = {"Content-Type": kind, "Accept": JSON, "Connection": "close"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        body = None if document is None else json.dumps(document)
        try:
            connection.request(method, path, body, headers)
            return connection, connection.getresponse()
        except BaseException:
            connection.close()
            raise
