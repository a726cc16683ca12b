"""The objects of one kind as an API server has them, by list and watch; sans-IO.

Invariant: nothing that a server sends makes this grow without bound or forget what it knows: what is known
changes by an event, or at once by a list that is complete. A list follows each watch, so a revision of a
server that was restored, at which a watch is silent for ever, costs one watch. Source: "Kubernetes API
Concepts", efficient detection of changes.
"""

import json
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlencode

from wgpy.contract.errors import WgpyError

from .objects import read_name

WATCH_TIME: Final = 300  # seconds, after which the server ends a watch
MAX_ANSWER: Final = 1 << 25  # bytes of one page of a list
MAX_LINE: Final = 1 << 21  # bytes of an event: etcd takes objects up to 1.5 MiB
MAX_OBJECTS: Final = 10_000
MAX_PAGES: Final = 1_000
_PAGE: Final = 200  # objects
_GONE: Final = 410
_BROKEN: Final = (ValueError, TypeError, KeyError, AttributeError, RecursionError)

_T = TypeVar("_T")


class WatchError(WgpyError):
    """The server's answer cannot be used: the next request is a list. One sentence."""


class Watch(Generic[_T]):
    """objects: by name, what was known last; is_known: whether a list was ever complete."""

    def __init__(self, path: str, read: Callable[[Any], _T], field_selector: str = "") -> None:
        """path: of the collection; read: an object, raises ValueError; field_selector: of some objects."""
        self.objects: dict[str, _T] = {}
        self.is_known = False
        self._troubles: dict[str, str] = {}
        self._path = path
        self._read = read
        self._selection = {"fieldSelector": field_selector} if field_selector else {}
        self._revision = ""  # "": to be listed
        self._continue = ""
        self._listed: dict[str, _T] = {}
        self._pages = 0
        self._received = bytearray()

    @property
    def trouble(self) -> str:
        """What is wrong with an object, or ""."""
        return next(iter(self._troubles.values()), "")

    @property
    def is_watching(self) -> bool:
        """Whether the next request is a watch, and not a list."""
        return bool(self._revision)

    def target(self) -> str:
        """Begin a request, and return what it asks for."""
        self._received.clear()
        query: dict[str, str | int] = dict(self._selection)
        if self._revision:
            query |= {"watch": 1, "allowWatchBookmarks": "true", "timeoutSeconds": WATCH_TIME}
            query["resourceVersion"] = self._revision
        else:
            query["limit"] = _PAGE
            if self._continue:
                query["continue"] = self._continue
        return f"{self._path}?{urlencode(query)}"

    def receive(self, data: bytes) -> bool:
        """Take a piece of an answer; return whether objects may have changed. Raises WatchError."""
        self._received += data
        if not self._revision:
            self._check_size(MAX_ANSWER)
            return False
        *lines, rest = self._received.split(b"\n")
        self._received = rest
        changes = [self._event(line) for line in lines if line.strip()]
        self._check_size(MAX_LINE)
        return any(changes)

    def finish(self) -> bool:
        """End an answer that is complete; return whether objects may have changed. Raises WatchError."""
        if self._revision:
            self.restart()
            return False
        return self._take_page(self._decoded(bytes(self._received)))

    def restart(self) -> None:
        """List next: the answer broke off, or cannot be used."""
        self._revision = self._continue = ""
        self._listed = {}
        self._pages = 0
        self._received.clear()

    # -- A list --------------------------------------------------------------------------------------

    def _take_page(self, page: Any) -> bool:
        """Raises WatchError."""
        try:
            items, metadata = page["items"] or [], page["metadata"]
            revision, self._continue = metadata["resourceVersion"], metadata.get("continue") or ""
            if not isinstance(items, list) or not isinstance(revision, str) or not revision:
                raise ValueError("no list")
            if not isinstance(self._continue, str):
                raise ValueError("no list")
        except _BROKEN:
            raise self._unusable("its answer is no list") from None
        if not self._listed:
            self._troubles.clear()
        for item in items:
            self._keep(item, self._listed)
        self._pages += 1
        if self._pages > MAX_PAGES:
            raise self._unusable("its list does not end")
        if self._continue:
            return False
        self.objects, self._listed, self._pages, self._revision = self._listed, {}, 0, revision
        self.is_known = True
        return True

    # -- A watch -------------------------------------------------------------------------------------

    def _event(self, line: bytes | bytearray) -> bool:
        """Raises WatchError."""
        event = self._decoded(bytes(line))
        try:
            kind, found = event["type"], event["object"]
            if kind == "ERROR":
                raise self._ended(found)
            if kind == "DELETED":
                self._follow(found)
                return self.objects.pop(read_name(found), None) is not None
            if kind == "BOOKMARK":
                self._follow(found)
                return False
            if kind not in ("ADDED", "MODIFIED"):
                return False
            self._follow(found)
        except _BROKEN:
            raise self._unusable("it sends what is no event") from None
        return self._keep(found, self.objects)

    def _ended(self, status: Any) -> WatchError:
        """A revision that is too old is no error of HTTP, but an event."""
        code = status.get("code")
        return self._unusable(
            "its watch has expired" if code == _GONE else f"it ends the watch with code {code!r:.20}"
        )

    def _follow(self, found: Any) -> None:
        """Note the revision. Raises one of _BROKEN."""
        revision = found["metadata"]["resourceVersion"]
        if not isinstance(revision, str) or not revision:
            raise ValueError("no revision")
        self._revision = revision

    # -- Both ----------------------------------------------------------------------------------------

    def _keep(self, found: Any, objects: dict[str, _T]) -> bool:
        """Keep an object if it can be read, and else what is known of it. Raises WatchError."""
        try:
            name = read_name(found)
        except _BROKEN:
            self._troubles[""] = "an object without a name is left out"
            return False
        try:
            new = self._read(found)
        except _BROKEN:
            self._note(name)
            if objects is self._listed and name in self.objects:
                objects[name] = self.objects[name]
            return False
        self._troubles.pop(name, None)
        if len(objects) >= MAX_OBJECTS and name not in objects:
            raise self._unusable(f"it has more than {MAX_OBJECTS} objects")
        is_new = objects.get(name) != new
        objects[name] = new
        return is_new

    def _note(self, name: str) -> None:
        if len(self._troubles) < MAX_OBJECTS:
            self._troubles[name] = f"{name} is left out: it has ranges that are none"

    def _decoded(self, data: bytes) -> Any:
        """Raises WatchError."""
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise self._unusable("its answer is no JSON") from None

    def _check_size(self, limit: int) -> None:
        """Raises WatchError."""
        if len(self._received) > limit:
            raise self._unusable(f"it sends more than {limit >> 20} MiB at once")

    def _unusable(self, why: str) -> WatchError:
        self.restart()
        return WatchError(why)
