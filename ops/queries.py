"""NumPy functions that answer a question about an array: of a Node they give plain arrays, with no derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigraph.node import Node
from minigraph.op import implements


def _plain(function: Callable[..., Any]) -> None:
    def answer(*args: Any, **kwargs: Any) -> Any:
        return function(*[a.value if isinstance(a, Node) else a for a in args],
                        **{k: a.value if isinstance(a, Node) else a for k, a in kwargs.items()})  # fmt: skip

    implements(function)(answer)


for _function in (
    np.argmax, np.argmin, np.argsort, np.argwhere, np.any, np.all, np.nonzero, np.count_nonzero, np.array_equal,
    np.allclose, np.isclose, np.searchsorted, np.unique, np.zeros_like, np.ones_like, np.full_like, np.empty_like,
    np.array2string, np.array_repr, np.array_str, np.may_share_memory, np.shares_memory, np.iscomplexobj, np.isrealobj,
    np.save, np.savez, np.savetxt,
):  # fmt: skip
    _plain(_function)
implements(np.shape)(lambda x: x.shape)
implements(np.ndim)(lambda x: len(x.shape))
implements(np.size)(lambda x, axis=None: x.size if axis is None else x.shape[axis])
