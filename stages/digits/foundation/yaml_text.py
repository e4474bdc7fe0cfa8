"""YAML as DVC reads it, and what dvc.lock, which DVC writes in YAML, says of the last run of each stage."""

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from digits.foundation.stage import UserError

# YAML 1.1, PyYAML's version, takes 1e-05 for text, 010 for 8 and `no` for false, and has dates and merge keys (`<<`);
# DVC reads YAML 1.2.
_BOOL = re.compile(r"(true|True|TRUE|false|False|FALSE)$")
_INT = re.compile(r"[-+]?([0-9][0-9_]*|0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+)$")
_FLOAT = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$")
_OTHERS = {f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "timestamp", "merge")}


class _Loader(yaml.SafeLoader):
    """For what people write: rejects duplicate keys, of which PyYAML takes the last, and references (`*`)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        is_reference = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        if is_reference and node:  # a few lines of them can mean any amount of data, or contain themselves
            problem = "references (`*`) to this are not supported"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        counts = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if duplicate := next((name for name, count in counts.items() if count > 1), None):
            raise yaml.MarkedYAMLError(problem=f"duplicate key {duplicate!r:.60}", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


# PyYAML can be built without libyaml; mypy wants base classes to be constant.
class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """For what DVC writes: libyaml's parser, which takes a sixth of the time, and may crash if nested deeply."""


def _whole_number(_: Any, node: yaml.ScalarNode) -> int:
    text = node.value.replace("_", "")
    return int(text, 0 if set(text) & set("box") else 10)  # Python rejects 010 for base 0


for _loader in (_Loader, _FastLoader):
    _loader.yaml_implicit_resolvers = {
        first: [pair for pair in pairs if pair[0] not in _OTHERS]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOL, list("tTfF"))
    _loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
    _loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    _loader.add_constructor("tag:yaml.org,2002:int", _whole_number)


@dataclass(frozen=True)
class LockedStage:
    """What dvc.lock says of the last run of a stage."""

    deps: dict[str, str]  # MD5 by path, empty for what DVC knows by something else
    outs: dict[str, str]  # MD5 by path, too
    params: dict[str, Any]  # values by dotted name, such as train.lr


def parse_yaml(text: str) -> Any:
    """The values in text that people wrote; raises a `ValueError` if it is no YAML, or more than params.yaml needs."""
    try:
        return _Loader(text).get_single_data()
    # PyYAML lets Python's own errors through if text is not a value of its type, such as !!timestamp x.
    except (yaml.YAMLError, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(str(error))


def parse_lock(text: str, where: str) -> dict[str, LockedStage]:
    """The stages in the text of a dvc.lock, in running order; a `UserError` about `where` if DVC did not write it."""
    try:
        loader: Any = _FastLoader
        stages = loader(text).get_single_data()["stages"]
        return {name: _locked_stage(entry) for name, entry in stages.items()}
    except (yaml.YAMLError, LookupError, AttributeError, TypeError, ValueError):
        raise UserError(
            f"{where}: dvc.lock is damaged, got text that DVC did not write; `git checkout HEAD dvc.lock` restores "
            "that of the last commit"
        )


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings, each with its dotted name, such as train.lr."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _locked_stage(entry: Mapping[str, Any]) -> LockedStage:
    deps, outs = ({each["path"]: str(each.get("md5", "")) for each in entry.get(kind, [])} for kind in ("deps", "outs"))
    params = {name: value for section in entry.get("params", {}).values() for name, value in flattened(section)}
    return LockedStage(deps, outs, params)
