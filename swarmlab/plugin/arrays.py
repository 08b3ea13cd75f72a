"""The column types: one array, one entry per node."""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

#: Amounts: nano-CPUs, bytes, units, indices.
Ints = npt.NDArray[np.int64]
#: Numbers of tasks, failures, codes.
Counts = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
#: Texts, as Python strings.
Texts = npt.NDArray[np.object_]


_Array = TypeVar("_Array", bound=npt.NDArray[Any])


def sealed(array: _Array) -> _Array:
    """The same array, from now on read-only."""
    array.flags.writeable = False
    return array
