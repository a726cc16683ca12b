"""Dataclasses whose methods are compiled when they are first used: most are not before a daemon is ready.

`dataclasses` compiles all methods of a class when that is defined: that, and the import of `dataclasses`
itself, took nearly half of a daemon's start, and of each class 13 KiB of memory. What a daemon or an agent
loads has its dataclasses from here; the decorator means the same, as far as it has parameters.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Final, NoReturn, TypeVar, dataclass_transform, get_origin, overload

_Value = TypeVar("_Value")
_Class = TypeVar("_Class", bound=type)

_MISSING: Final = object()


class _Field:
    """What was said of a field beside its type."""

    __slots__ = ("default", "factory", "repr")

    def __init__(self, default: object = _MISSING, factory: Any = None, *, repr: bool = True) -> None:
        self.default = default
        self.factory = factory
        self.repr = repr


@overload
def field(*, default: _Value, repr: bool = True) -> _Value: ...
@overload
def field(*, default_factory: Callable[[], _Value], repr: bool = True) -> _Value: ...
@overload
def field(*, repr: bool = True) -> Any: ...
def field(*, default: Any = _MISSING, default_factory: Any = None, repr: bool = True) -> Any:
    """As `dataclasses.field`."""
    return _Field(default, default_factory, repr=repr)


@dataclass_transform(field_specifiers=(field,))
def dataclass(*, slots: bool, frozen: bool = False, eq: bool = True) -> Callable[[_Class], _Class]:
    """As `dataclasses.dataclass`. slots: there is no other kind here; none may have a `__post_init__`."""
    assert slots

    def with_slots(cls: _Class) -> _Class:
        assert not hasattr(cls, "__post_init__"), f"{cls.__name__}'s would not be called"
        body = dict(cls.__dict__)
        fields = {name: _read_field(body.pop(name, _MISSING)) for name in _names(cls)}
        del body["__dict__"], body["__weakref__"]
        body["__slots__"] = body["__match_args__"] = tuple(fields)
        body["__dataclass_fields__"] = _StandardFields(fields)
        body["__init__"] = _Later(fields, _initialise_frozen if frozen else _initialise)
        body.setdefault("__repr__", _Later(fields, _represent))
        if eq:
            body.setdefault("__eq__", _Later(fields, _compare))
            body["__hash__"] = _Later(fields, _hash) if frozen else None
        if frozen:
            body["__setattr__"] = body["__delattr__"] = _refuse_change
        made: _Class = type(cls)(cls.__name__, cls.__bases__, body)
        return made

    return with_slots


def replace(value: _Value, /, **changes: object) -> _Value:
    """As `dataclasses.replace`, of what `dataclass` made."""
    names: tuple[str, ...] = getattr(type(value), "__match_args__")  # noqa: B009 - mypy knows no such attribute
    return type(value)(**{name: getattr(value, name) for name in names} | changes)


def compile_next() -> bool:
    """Compile what one class is made with; return whether there was one: for who has nothing else to do."""
    while _to_compile:
        later = _to_compile.pop()
        if later.is_needed():
            later.__get__(None)
            return True
    return False


def _names(cls: type) -> list[str]:
    return [name for name, kind in cls.__annotations__.items() if ClassVar not in (kind, get_origin(kind))]


def _read_field(default: object) -> _Field:
    return default if isinstance(default, _Field) else _Field(default)


def _refuse_change(self: object, name: str, _value: object = None) -> NoReturn:
    raise AttributeError(f"{type(self).__name__}.{name} cannot change: make another with `replace`")


# -- Methods, when they are first used ------------------------------------------------------------

_Fields = dict[str, _Field]
# Returns the parameters of a method and its lines, and enters into a namespace what these name.
_Writer = Callable[[type, _Fields, dict[str, object]], tuple[str, list[str]]]


class _Later:
    """A descriptor which compiles a method, and puts that in its own place."""

    __slots__ = ("_cls", "_fields", "_name", "_write")

    def __init__(self, fields: _Fields, write: _Writer) -> None:
        self._fields = fields
        self._write = write

    def __set_name__(self, cls: type, name: str) -> None:
        self._cls, self._name = cls, name
        if name == "__init__":
            _to_compile.append(self)

    def is_needed(self) -> bool:
        """Whether the method was not used so far."""
        return self._cls.__dict__[self._name] is self

    def __get__(self, value: object, _: type | None = None) -> Any:
        method = self._compile()
        setattr(self._cls, self._name, method)
        return method if value is None else method.__get__(value)

    def _compile(self) -> Any:
        cls, namespace = self._cls, dict[str, Any]()
        parameters, lines = self._write(cls, self._fields, namespace)
        body = "".join(f"\n    {line}" for line in lines or ["pass"])
        exec(f"def {self._name}({parameters}):{body}", namespace)
        method = namespace[self._name]
        method.__module__, method.__qualname__ = cls.__module__, f"{cls.__qualname__}.{self._name}"
        if self._name == "__init__":
            kinds = cls.__annotations__
            method.__annotations__ = {name: kinds[name] for name in self._fields} | {"return": None}
        return method


_to_compile: Final[list[_Later]] = []  # most of them


def _initialise(_cls: type, fields: _Fields, namespace: dict[str, object]) -> tuple[str, list[str]]:
    lines = [f"self.{name} = {_value(name, one)}" for name, one in fields.items()]
    return _parameters(fields, namespace), lines


def _initialise_frozen(cls: type, fields: _Fields, namespace: dict[str, object]) -> tuple[str, list[str]]:
    namespace.update({f"_set_{name}": cls.__dict__[name].__set__ for name in fields})
    lines = [f"_set_{name}(self, {_value(name, one)})" for name, one in fields.items()]
    return _parameters(fields, namespace), lines


def _parameters(fields: _Fields, namespace: dict[str, object]) -> str:
    """The defaults of parameters are in the namespace, and so are the factories of others."""
    parameters = ["self"]
    for name, one in fields.items():
        default = _MISSING if one.factory else one.default
        namespace |= {f"_default_{name}": default, f"_factory_{name}": one.factory, "_MISSING": _MISSING}
        is_optional = one.factory is not None or one.default is not _MISSING
        parameters.append(f"{name}=_default_{name}" if is_optional else name)
    return ", ".join(parameters)


def _value(name: str, one: _Field) -> str:
    return f"_factory_{name}() if {name} is _MISSING else {name}" if one.factory else name


def _represent(_cls: type, fields: _Fields, _namespace: dict[str, object]) -> tuple[str, list[str]]:
    shown = ", ".join(f"{name}={{self.{name}!r}}" for name, one in fields.items() if one.repr)
    return "self", [f'return f"{{type(self).__qualname__}}({shown})"']


def _compare(_cls: type, fields: _Fields, _namespace: dict[str, object]) -> tuple[str, list[str]]:
    return "self, other", [
        "if type(other) is not type(self):",
        "    return NotImplemented",
        f"return {_tuple('self', fields)} == {_tuple('other', fields)}",
    ]


def _hash(_cls: type, fields: _Fields, _namespace: dict[str, object]) -> tuple[str, list[str]]:
    return "self", [f"return hash({_tuple('self', fields)})"]


def _tuple(value: str, fields: _Fields) -> str:
    return f"({''.join(f'{value}.{name}, ' for name in fields)})"


class _StandardFields:
    """A descriptor by which the functions of `dataclasses` work with these, too, once one does."""

    __slots__ = ("_fields",)

    def __init__(self, fields: _Fields) -> None:
        self._fields = fields

    def __get__(self, _: object, cls: type) -> dict[str, Any]:
        import dataclasses  # noqa: PLC0415 - what it costs is what this module saves

        def standard(one: _Field) -> Any:
            if one.factory is not None:
                return dataclasses.field(default_factory=one.factory, repr=one.repr)
            default: Any = dataclasses.MISSING if one.default is _MISSING else one.default
            return dataclasses.field(default=default, repr=one.repr)

        kinds = cls.__annotations__
        described = [(name, kinds[name], standard(one)) for name, one in self._fields.items()]
        # Without methods, which nobody would call.
        made = dataclasses.make_dataclass(cls.__name__, described, init=False, repr=False, eq=False)
        found: dict[str, Any] = made.__dict__["__dataclass_fields__"]
        setattr(cls, "__dataclass_fields__", found)  # noqa: B010 - mypy knows no such attribute
        return found
