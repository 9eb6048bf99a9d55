"""Pickles as Python 2 wrote them, with objects of classes that are not here."""

import io
import pickle
import struct
from typing import Any


class Foreign:
    """An object of `module.name` with this state; `Foreign.of` makes one class for each name."""

    module = name = ""

    def __init__(self, **state: Any) -> None:
        self.__dict__.update(state)

    @staticmethod
    def of(module: str, name: str) -> type["Foreign"]:
        return type(name, (Foreign,), {"module": module, "name": name})


class _Python2(pickle._Pickler):
    """Protocol 2 with text as byte strings where it is ASCII, and classes by the name they claim."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

    def save_text(self, text: str) -> None:
        data = text.encode("latin1", "ignore")
        if data.decode("latin1") != text or not text.isascii():
            return pickle._Pickler.save_str(self, text)
        self.write(b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<i", len(data)) + data)
        self.memoize(text)
        return None

    def save_kind(self, kind: type) -> None:
        if issubclass(kind, Foreign):
            self.write(f"c{kind.module}\n{kind.name}\n".encode())
            self.memoize(kind)
        elif kind.__module__ == "builtins":
            self.write(f"c__builtin__\n{kind.__name__}\n".encode())
            self.memoize(kind)
        else:
            pickle._Pickler.save_type(self, kind)

    dispatch[str] = save_text
    dispatch[type] = save_kind


def python2_pickle(value: Any, protocol: int = 2) -> bytes:
    """`value` as a Python 2 program would have pickled it."""
    file = io.BytesIO()
    _Python2(file, protocol, fix_imports=True).dump(value)
    return file.getvalue()
