"""The entries of DVC's run cache."""

import hashlib
import json
from pathlib import Path

# DVC's own parser, since the hash is one of its values.
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


def sha256_of_entry(path: Path) -> str:
    """The hash by which DVC names an entry of the run cache: of its parsed content, without sizes."""
    try:
        entry = json.dumps(YAML(typ="safe").load(path))
    except (YAMLError, TypeError, ValueError):
        return "text that DVC did not write"
    entry = json.loads(
        entry, object_hook=lambda values: {key: values[key] for key in values.keys() - {"size", "nfiles"}}
    )
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()
