"""Dataclasses that are compiled late behave as those of the standard library do."""

import dataclasses
import inspect
from typing import Any, ClassVar, Generic, TypeVar

import pytest

from wgpy.contract import lazy_dataclass
from wgpy.contract.lazy_dataclass import dataclass, field, replace

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Late:
    SIZE: ClassVar = 8
    number: int
    secret: bytes = field(repr=False)
    names: tuple[str, ...] = ("a",)
    marks: frozenset[int] = field(default_factory=frozenset)


@dataclasses.dataclass(frozen=True, slots=True)
class Standard:
    SIZE: ClassVar = 8
    number: int
    secret: bytes = dataclasses.field(repr=False)
    names: tuple[str, ...] = ("a",)
    marks: frozenset[int] = dataclasses.field(default_factory=frozenset)


@dataclass(slots=True)
class Changing(Generic[_Value]):
    value: _Value
    seen: list[int] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Same:
    number: int = 0


@dataclass(frozen=True, slots=True)
class Empty:
    pass


@pytest.mark.parametrize("kind", [Late, Standard])
def test_it_is_made_shown_and_compared_as_one_of_the_standard_library(kind: Any) -> None:
    value = kind(1, b"hidden", marks=frozenset({3}))

    assert repr(value) == f"{kind.__name__}(number=1, names=('a',), marks=frozenset({{3}}))"
    assert value == kind(1, b"hidden", ("a",), frozenset({3})) != kind(2, b"hidden", marks=frozenset({3}))
    assert value != (1, b"hidden", ("a",), frozenset({3}))
    assert hash(value) == hash((1, b"hidden", ("a",), frozenset({3})))
    assert (kind.SIZE, kind.__match_args__) == (8, ("number", "secret", "names", "marks"))
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize("kind", [Late, Standard])
def test_one_that_is_frozen_cannot_be_changed(kind: Any) -> None:
    value = kind(1, b"")

    with pytest.raises(AttributeError, match="number"):
        value.number = 2
    with pytest.raises(AttributeError, match="number"):
        del value.number
    assert value.number == 1


@pytest.mark.parametrize("kind", [Late, Standard])
def test_what_is_missing_or_unknown_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match="secret"):
        kind(1)
    with pytest.raises(TypeError, match="other"):
        kind(1, b"", other=2)


def test_one_that_is_not_frozen_can_be_changed_and_has_no_hash() -> None:
    value = Changing(3)
    value.value = 4

    assert value == Changing(4)
    assert value.seen is not Changing(4).seen
    assert Changing.__hash__ is None


def test_one_without_eq_is_equal_to_itself_alone() -> None:
    value = Same()

    assert value == value != Same()  # noqa: PLR0124
    assert hash(value) == object.__hash__(value)


def test_one_without_fields_is_equal_to_another() -> None:
    assert Empty() == Empty()
    assert repr(Empty()) == "Empty()"


def test_both_ways_to_replace_make_another() -> None:
    value = Late(1, b"hidden")

    assert replace(value, number=2) == dataclasses.replace(value, number=2) == Late(2, b"hidden")
    with pytest.raises(TypeError, match="other"):
        replace(value, other=2)


def test_functions_of_the_standard_library_know_it() -> None:
    value = Late(1, b"hidden")

    assert dataclasses.is_dataclass(value)
    assert dataclasses.asdict(value) == dataclasses.asdict(Standard(1, b"hidden"))
    assert [one.name for one in dataclasses.fields(Late)] == [
        one.name for one in dataclasses.fields(Standard)
    ]
    assert list(inspect.signature(Late).parameters) == list(inspect.signature(Standard).parameters)


def test_it_is_compiled_at_the_first_use() -> None:
    @dataclass(frozen=True, slots=True)
    class Fresh:
        number: int

    before = Fresh.__dict__["__init__"]
    Fresh(1)

    assert not inspect.isfunction(before)
    assert inspect.isfunction(Fresh.__dict__["__init__"])
    assert not inspect.isfunction(Fresh.__dict__["__eq__"])


def test_what_was_not_used_can_be_compiled_ahead() -> None:
    @dataclass(frozen=True, slots=True)
    class Fresh:
        number: int

    while lazy_dataclass.compile_next():
        pass

    assert inspect.isfunction(Fresh.__dict__["__init__"])
    assert Fresh(1) == Fresh(1)


def test_it_takes_no_import_of_the_standard_library_s() -> None:
    assert "dataclasses" not in vars(lazy_dataclass)


def _names(cls: Any) -> list[str]:
    return [one.name for one in dataclasses.fields(cls)]
