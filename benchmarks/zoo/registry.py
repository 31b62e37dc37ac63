"""All models of the zoo, by kind and by name."""

from __future__ import annotations

from benchmarks.zoo.audio import AUDIO
from benchmarks.zoo.control import CONTROL
from benchmarks.zoo.decoding import DECODING
from benchmarks.zoo.dense import DENSE
from benchmarks.zoo.detection import DETECTION
from benchmarks.zoo.exported import EXPORTED
from benchmarks.zoo.images import IMAGES
from benchmarks.zoo.indexing import INDEXING
from benchmarks.zoo.model import ZooModel
from benchmarks.zoo.recurrent import RECURRENT
from benchmarks.zoo.tensorflow import TENSORFLOW
from benchmarks.zoo.text import TEXT
from benchmarks.zoo.wheels import WHEELS

__all__ = ["BUILT", "ZOO", "zoo_model"]

BUILT: tuple[ZooModel, ...] = (
    *TEXT,
    *DECODING,
    *AUDIO,
    *RECURRENT,
    *IMAGES,
    *DENSE,
    *DETECTION,
    *INDEXING,
    *CONTROL,
    *EXPORTED,
    *TENSORFLOW,
)
"""Models that need no package but onnx."""

ZOO: tuple[ZooModel, ...] = (*WHEELS, *BUILT)
"""All models."""


def zoo_model(name: str) -> ZooModel:
    """Return the model of this name.

    Raises:
        KeyError: There is none.
    """
    for model in ZOO:
        if model.name == name:
            return model
    raise KeyError(f"the zoo has no model {name!r}; it has {', '.join(each.name for each in ZOO)}")
