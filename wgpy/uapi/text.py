"""Single values of UAPI in their text form. Each reader raises ValueError with what it wants instead."""

from wgpy.address import parse_prefix
from wgpy.model import AllowedIPChange


def true(text: str) -> bool:
    if text != "true":
        raise ValueError("want `true`, or leave the line out")
    return True


def version(text: str) -> None:
    if text != "1":
        raise ValueError("want protocol version 1")


def allowed_ip(text: str) -> AllowedIPChange:
    if text.startswith("-"):
        return AllowedIPChange(parse_prefix(text[1:]), remove=True)
    return AllowedIPChange(parse_prefix(text))
