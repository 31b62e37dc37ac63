"""Operators that are known and not followed, with the reason."""

from __future__ import annotations

from scaling_tasks.analysis.registry import refuse

refuse(
    "it draws numbers at random, so that no two runs give the same",
    *("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"),
    always=True,
)
refuse(
    "its result is a sequence or an optional value, whose parts are not followed",
    *("SequenceConstruct", "SequenceAt", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength"),
    *("SequenceMap", "SplitToSequence", "ConcatFromSequence", "Optional", "OptionalGetElement", "OptionalHasElement"),
)
refuse("it works on texts", "StringNormalizer", "StringConcat", "StringSplit", "RegexFullMatch", "TfIdfVectorizer")
refuse(
    "it takes spectra over an axis whose length decides what they hold",
    *("MelWeightMatrix", "HannWindow", "HammingWindow", "BlackmanWindow"),
)
refuse("it collects backwards or along another axis than the first", "Scan")
refuse("padding would count among the values that it tells apart", "Unique")
refuse(
    "its places are counted in a tensor whose size it is told apart from its input", "MaxUnpool", "Col2Im", "AffineGrid"
)
refuse("it reads regions that may lie across the end of the valid part", "RoiAlign", "MaxRoiPool")
refuse("it takes the middle, which lies elsewhere in a bucket", "CenterCropPad")
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
