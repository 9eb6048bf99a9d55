"""Typed configs: frozen, every key declared, overridden by `key=value` with dotted paths.

A config is a pydantic model with a sentence under each field. An unknown key fails and names the nearest known ones, a
wrong value names its key and what is wanted; nothing is guessed. What ran is saved beside every run as JSON and reads
back equal.
"""

import difflib
import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from merkit.errors import ConfigError

__all__ = ["Config", "config_from", "describe", "override"]


class Config(BaseModel):
    """Base of all configs: frozen, no unknown keys, defaults checked too.

    Example:
        >>> class Optim(Config):
        ...     lr: float = 1e-3
        >>> Optim(lr=0.1).lr
        0.1
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True, arbitrary_types_allowed=False
    )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return json.loads(self.model_dump_json())

    def flat(self) -> dict[str, Any]:
        """The same by dotted key, for comparing two of them.

        Example:
            >>> class Optim(Config):
            ...     lr: float = 1e-3
            >>> class Train(Config):
            ...     optim: Optim = Optim()
            >>> Train().flat()
            {'optim.lr': 0.001}
        """
        return _flat(self.to_dict())


C = TypeVar("C", bound=Config)


def config_from(kind: type[C], values: dict[str, Any]) -> C:
    """A config from nested plain values.

    Raises:
        ConfigError: an unknown key (with the nearest known ones) or a value of the wrong kind, every one of them named.

    Example:
        >>> class Optim(Config):
        ...     lr: float = 1e-3
        >>> config_from(Optim, {"rl": 0.1})
        Traceback (most recent call last):
        ...
        merkit.errors.ConfigError: unknown key `rl`; did you mean `lr`?
    """
    known = dict(_keys(kind))
    _check_keys(values, known, "")
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"])
            given = item.get("input")
            lines.append(f"`{key}`: {item['msg']}" + ("" if isinstance(given, dict) else f" (got {given!r})"))
        raise ConfigError("; ".join(lines)) from None


def override(config: C, changes: Iterable[str]) -> C:
    """`config` with `key=value` changes; keys are dotted paths, values are read as YAML scalars or lists.

    A leading `+` or `--`, as other tools write it, is ignored, and a bare `key` means `key=true`. A mapping that is given
    whole replaces what stood there (`loss_params={gamma: 2}`); with one more dot it is one entry of it
    (`loss_params.gamma=2`).

    Raises:
        ConfigError: see `config_from`.

    Example:
        >>> class Optim(Config):
        ...     lr: float = 1e-3
        >>> class Train(Config):
        ...     optim: Optim = Optim()
        ...     targets: tuple[str, ...] = ()
        ...     speaker: str = ""
        >>> changed = override(Train(), ["optim.lr=3e-4", "targets=joy,fear", "speaker=01"])
        >>> changed.optim.lr, changed.targets, changed.speaker
        (0.0003, ('joy', 'fear'), '01')
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    changes = [change.lstrip("+").removeprefix("--") for change in changes]
    changes = [change if "=" in change else f"{change}=true" for change in changes]
    known = dict(_keys(type(config)))
    for change in changes:
        _check_key(change.split("=", 1)[0].strip(), known)
    values = config.to_dict()
    try:
        for change in changes:
            key, text = change.split("=", 1)
            said = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]), resolve=False)
            _place(type(config), values, key.strip().split("."), said["value"], key.strip())  # ty: ignore
        _listed(type(config), values)
        for key, text in dict(change.split("=", 1) for change in changes).items():  # of a key given twice, the last
            _verbatim(type(config), values, key, text)
    except (OmegaConfBaseException, YAMLError, ValueError) as error:
        raise ConfigError(f"cannot read {' '.join(changes)}: {error}") from None
    return config_from(type(config), values)


def describe(kind: type[Config]) -> list[tuple[str, str, str]]:
    """Every key of a config as `(dotted key, default, what it does)`, for `--help` and the docs."""
    rows = []
    for key, (default, about) in dict(_keys(kind)).items():
        if about is not None:
            rows.append((key, default, about))
    return rows


def _keys(kind: type[Config], prefix: str = "") -> Iterator[tuple[str, tuple[str, str | None]]]:
    """Dotted key -> (default as text, description); groups have None as description."""
    for name, field in kind.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Config):
            yield prefix + name, ("", None)
            yield from _keys(annotation, f"{prefix}{name}.")
        else:
            default = (
                "required" if field.is_required() else json.dumps(_plain(field.get_default(call_default_factory=True)))
            )
            yield prefix + name, (default, " ".join((field.description or "").split()))


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _place(kind: type[Config], values: dict[str, Any], path: list[str], value: Any, key: str) -> None:
    """Puts a value where its path leads. Groups of keys keep what is not said; mappings are replaced: merged into a preset's
    options, those of one loss would be handed to another."""
    name, *rest = path
    field = kind.model_fields.get(name)
    annotation = None if field is None else field.annotation
    if isinstance(annotation, type) and issubclass(annotation, Config):
        if not rest and not isinstance(value, dict):
            raise ConfigError(f"`{key}` is a group of keys; say `{key}.NAME=VALUE`")
        for way, one in [(rest, value)] if rest else [([str(each)], one) for each, one in value.items()]:
            _place(annotation, values[name], way, one, key)
        return
    for part in path[:-1]:
        if not isinstance(values.get(part), dict):
            values[part] = {}
        values = values[part]
    values[path[-1]] = value


def _listed(kind: type[Config], values: Any) -> None:
    """`key=word` for a key that holds a list means a list of one, `key=a,b` one of two."""
    for name, field in kind.model_fields.items():
        value = values.get(name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, Config):
            _listed(field.annotation, value)
        elif get_origin(field.annotation) is tuple and isinstance(value, str | int | float):
            parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else [value]
            values[name] = [part for part in parts if part != ""]


def _verbatim(kind: type[Config], values: Any, key: str, text: str) -> None:
    """What is said for a key that holds text is that text: `data.split.out=01` names speaker 01, not the number 1, and of
    `trainer.precision=16` the choices are words."""
    *groups, name = key.strip().split(".")
    for group in groups:
        annotation = kind.model_fields[group].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, Config)):
            return
        kind, values = annotation, values[group]
    if name not in kind.model_fields or isinstance(values[name], str):
        return
    annotation = kind.model_fields[name].annotation
    words = get_args(annotation) if get_origin(annotation) is Literal else ()
    if annotation is str or (words and all(isinstance(word, str) for word in words)):
        values[name] = "" if values[name] is None else text.strip()


def _check_key(key: str, known: dict[str, tuple[str, str | None]]) -> None:
    parts = key.split(".")
    for end in range(1, len(parts) + 1):
        part = ".".join(parts[:end])
        if part not in known:
            # below a free mapping (a dict-valued key) everything goes; below anything else nothing does
            parent = ".".join(parts[: end - 1])
            if parent in known and known[parent][1] is not None and known[parent][0].startswith("{"):
                return
            raise ConfigError(_unknown(key, known))


def _check_keys(values: dict[str, Any], known: dict[str, tuple[str, str | None]], prefix: str) -> None:
    for name, value in values.items():
        key = f"{prefix}{name}"
        if key not in known:
            raise ConfigError(_unknown(key, known))
        if isinstance(value, dict) and known[key][1] is None:
            _check_keys(value, known, f"{key}.")


def _unknown(key: str, known: dict[str, tuple[str, str | None]]) -> str:
    leaves = [name for name, (_, about) in known.items() if about is not None]
    near = difflib.get_close_matches(key, leaves, n=3, cutoff=0.5)
    # the right last part under another group is the commonest slip: `lr` for `optim.lr`
    near = [name for name in leaves if name.split(".")[-1] == key.split(".")[-1] and name not in near] + near
    hint = " or ".join(f"`{name}`" for name in near[:3])
    return f"unknown key `{key}`; did you mean {hint}?" if hint else f"unknown key `{key}`"
