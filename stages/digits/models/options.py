"""Options of the networks that have any; apart from networks.py, so that reading params.yaml needs no PyTorch."""

from typing import Annotated

from digits.foundation.params import Section, Share

from pydantic import Field


class NetworkOptions(Section):
    """Options of `mlp` and `cnn`, which say what they mean."""

    width: Annotated[int, Field(ge=1, le=4096)]
    depth: Annotated[int, Field(ge=1, le=32)]
    dropout: Share


class NoOptions(Section):
    """Options of a fixed network: none."""
