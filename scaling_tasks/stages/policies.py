"""How inputs are padded where the configuration says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling_tasks.runtime.policies import Padding

__all__ = ["given_policies"]


def given_policies(padding: str | Mapping[str, Any]) -> dict[str, Padding]:
    """Return the policies in a configuration's ``runtime.padding``; none where it is a word."""
    from scaling_tasks.runtime.policies import Padding

    return {} if isinstance(padding, str) else {name: Padding(**policy) for name, policy in padding.items()}
