"""Operators that are known and not followed, with the reason."""

from __future__ import annotations

from scaling_tasks.analysis.axes import grid
from scaling_tasks.analysis.operation import Operation
from scaling_tasks.analysis.registry import operator, refuse
from scaling_tasks.analysis.tensors import Tensor

_RANDOM = "it draws numbers at random, so that no two runs give the same"

refuse(_RANDOM, "Multinomial", "Bernoulli", always=True)


@operator("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike")
def follow_noise(op: Operation) -> Tensor:
    """Follow noise, which is to blame for whatever it reaches; multiplied with zero it reaches nothing."""
    axes = op.input(0).known_axes if op.inputs else [grid(int(size)) for size in op.attribute("shape")]
    op.blame(op.domain.limits, _RANDOM)
    return op.result(axes, int(op.attribute("dtype", op.input(0).dtype if op.inputs else 1)))


refuse(
    "it makes or takes a sequence in a way that is not followed",
    *("SequenceConstruct", "SequenceAt", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength"),
    *("SequenceMap", "SplitToSequence", "ConcatFromSequence", "Optional", "OptionalGetElement", "OptionalHasElement"),
    fix="Torch's newer exporter (dynamo=True) writes tensors in place of most sequences.",
)
refuse(
    "it works on texts",
    *("StringNormalizer", "StringConcat", "StringSplit", "RegexFullMatch", "TfIdfVectorizer"),
    fix="Do so in front of the model and give it numbers.",
)
refuse(
    "it takes spectra over an axis whose length decides what they hold",
    *("MelWeightMatrix", "HannWindow", "HammingWindow", "BlackmanWindow"),
)
refuse("it collects along another axis than the first, of a shape that its body does not tell", "Scan")
refuse(
    "padding would count among the values that it tells apart",
    "Unique",
    fix="Let the model give the values themselves, and tell them apart behind it.",
)
refuse("its places are counted in a tensor whose size it is told apart from its input", "MaxUnpool")
refuse("it is a loss, which no served model computes", "NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
refuse(
    "it is told lengths of a cache as data",
    *("PagedAttention", "DecoderMaskedMultiHeadAttention", "SparseAttention"),
    domain="com.microsoft",
)
refuse(
    "it was made for the vector registers of one processor; save the optimised model at a lower level",
    *(
        "Conv",
        "MaxPool",
        "AveragePool",
        "GlobalMaxPool",
        "GlobalAveragePool",
        "ReorderInput",
        "ReorderOutput",
        "Upsample",
    ),
    domain="com.microsoft.nchwc",
)
