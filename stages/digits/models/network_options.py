"""Options of the networks, in a module of their own because train reads params.yaml before it imports PyTorch."""

from typing import Annotated

from digits.foundation.params import Section, Share

from pydantic import Field


class NetworkOptions(Section):
    """Options of `mlp` and `cnn`."""

    width: Annotated[int, Field(ge=1, le=4096)]
    depth: Annotated[int, Field(ge=1, le=32)]
    dropout: Share


class NoOptions(Section):
    """Options of `logistic` and `lenet5`: none."""
