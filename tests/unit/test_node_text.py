"""What others wrote moves no cursor and fills no screen."""

from wgpy.node.text import printable


def test_what_cannot_be_printed_is_seen_as_such_and_what_is_long_is_cut() -> None:
    assert printable("Größe 7") == "Größe 7"
    assert printable("\x1b[2Jgone\n\u202e") == "?[2Jgone??"
    assert printable("x" * 300) == "x" * 200 + "…"
