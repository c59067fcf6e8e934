"""Changing one parameter deep inside a frozen object, by its dotted path.

A path walks through the fields of dataclasses, the named terms of a :class:`SumForce`, dictionary keys and tuple
indices: "force.zeeman.model.field", "force.electrons.ensemble.filling", "noise.seeds.0". Every object on the way is
rebuilt by its constructor, which validates; the original is never touched.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from engine.forces import SumForce


def with_changes(target: Any, changes: Mapping[str, Any]) -> Any:
    """``target`` with every ``path: value`` of ``changes`` applied at once, or ValueError and nothing changed.

    Changes of one object are made together, so that fields that only make sense jointly can be exchanged:
    {"force.electrons.ensemble.filling": 0.3, "force.electrons.ensemble.chemical_potential": None}.
    """
    tree: dict[str, Any] = {}
    for path, value in changes.items():
        _plant(tree, path, value)
    return _rebuilt(target, tree, "")


class _Leaf:
    """A new value at the end of a path."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _plant(tree: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".") if path else [""]
    branch = tree
    for name in parents:
        branch = branch.setdefault(name, {})
        if isinstance(branch, _Leaf):
            raise ValueError(f"{path!r} lies inside another changed path; change either the whole or its parts")
    if last in branch:
        raise ValueError(f"{path!r} contains another changed path; change either the whole or its parts")
    branch[last] = _Leaf(value)


def _rebuilt(node: Any, branch: Any, path: str) -> Any:
    """``node`` with the changes of ``branch`` made."""
    if isinstance(branch, _Leaf):
        return branch.value
    parts = _parts(node)
    new = {}
    for name, child in branch.items():
        if name not in parts:
            raise ValueError(_unknown(f"{path}.{name}".lstrip("."), name, node, parts))
        new[name] = _rebuilt(parts[name], child, f"{path}.{name}".lstrip("."))
    try:
        return _assembled(node, parts, new)
    except (ValueError, TypeError) as error:
        names = ", ".join(f"{path}.{name}".lstrip(".") for name in new)
        raise ValueError(f"cannot change {names}: {error}") from error


def _parts(node: Any) -> dict[str, Any]:
    """Names that a path can continue with, and what they hold."""
    if isinstance(node, SumForce):
        return dict(node.terms)
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        return {item.name: getattr(node, item.name) for item in dataclasses.fields(node) if item.init}
    if isinstance(node, Mapping):
        return {str(key): value for key, value in node.items()}
    if isinstance(node, tuple | list):
        return {str(index): value for index, value in enumerate(node)}
    return {}


def _assembled(node: Any, parts: dict[str, Any], new: dict[str, Any]) -> Any:
    """An object of the type of ``node`` with some parts replaced."""
    if isinstance(node, SumForce):
        return SumForce(parts | new)
    if isinstance(node, Mapping):
        return {key: new.get(str(key), value) for key, value in node.items()}
    if isinstance(node, tuple | list):
        return type(node)(new.get(name, value) for name, value in parts.items())
    return dataclasses.replace(node, **new)


def _unknown(path: str, name: str, node: Any, parts: dict[str, Any]) -> str:
    kind = type(node).__name__
    if not parts:
        return f"no parameter {path!r}: {kind} has no parts to change; end the path one name earlier"
    close = difflib.get_close_matches(name, parts, n=3, cutoff=0.4)
    nearest = f"; nearest: {', '.join(close)}" if close else ""
    return f"no parameter {path!r}: {kind} has {', '.join(sorted(parts))}{nearest}"
