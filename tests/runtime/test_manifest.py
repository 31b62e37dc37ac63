"""The manifest's JSON, and what is refused when it is made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scaling_tasks.errors import BundleError
from scaling_tasks.runtime.manifest import ArtefactFile, Fallback, Manifest, make_manifest
from scaling_tasks.runtime.model import BucketedModel
from scaling_tasks.runtime.policies import Padding, padding_of
from scaling_tasks.runtime.pool import EnginePool
from scaling_tasks.shapes.behaviour import Behaviour, Verdict, plain_layouts
from scaling_tasks.shapes.expressions import Expression
from scaling_tasks.shapes.signature import ModelSignature, Signature, TensorSpec
from scaling_tasks.shapes.size_inputs import SizeInput
from scaling_tasks.shapes.unit import Unit
from tests.documents import resealed

FILES = [ArtefactFile.of("m.xml", "ab" * 32), ArtefactFile.of("m.bin", "cd" * 32)]


def manifest_of(
    axes: tuple[Expression, ...] = ("batch", "length", 8),
    dims: tuple[int | str, ...] = ("batch", "length"),
    size_inputs: tuple[SizeInput, ...] = (),
    **more: object,
) -> Manifest:
    inputs = Signature((TensorSpec("ids", dims, "int64"), TensorSpec("attention_mask", dims, "int64")))
    outputs = (TensorSpec("y", tuple(f"y_{axis}" for axis in range(len(axes))), "float32"),)
    unit = Unit("a", "m_a", ("length", "batch"), ((16, 2), (32, 2)))
    signature = ModelSignature(inputs, outputs)
    return make_manifest(
        "m",
        "fake",
        {"device": "cpu"},
        signature,
        Behaviour(
            plain_layouts({"y": axes}),
            (Verdict("y", "length", "cleaned"),),
            "batch",
            ("length",),
            (("length", ("*", 2, ("//", "length", 2))),),
            size_inputs,
        ),
        [(unit, FILES)],
        {(2, 16): 1.5},
        **more,  # type: ignore[arg-type]
    )


def test_json_round_trip_keeps_everything() -> None:
    manifest = manifest_of(
        padding={"ids": Padding("constant", value=3, side="start")},
        oversize="fallback",
        fallback=Fallback("fake", FILES[0], {"device": "cpu"}),
        round_up=True,
        size_inputs=(SizeInput("st_0", "valid", "float32", ((("batch",),), (("length",),)), off=-3e38),),
    )
    again = Manifest.from_json(manifest.to_json())
    assert again == manifest
    assert again.to_json() == manifest.to_json()


def test_how_long_outputs_can_get_is_told_per_artefact() -> None:
    manifest = manifest_of(longest={"m_a": {"y": [None, 20, None]}})
    assert manifest.artefacts[0].longest == {"y": (None, 20, None)}
    text = manifest.to_json()
    assert Manifest.from_json(text) == manifest
    with pytest.raises(BundleError, match="are no lengths of outputs"):
        Manifest.from_json(resealed({**json.loads(text), "artefacts": [_with_longest(text, {"y": [0]})]}))


def _with_longest(text: str, longest: object) -> dict[str, object]:
    (artefact,) = json.loads(text)["artefacts"]
    return {**artefact, "longest": longest}


def test_a_mask_is_padded_at_the_side_of_what_it_masks() -> None:
    policies = manifest_of(padding={"ids": Padding(side="start")}).padding
    assert policies["attention_mask"] == Padding(side="start", mask=True)


def test_inputs_that_share_a_variable_are_padded_at_one_side() -> None:
    given = {"ids": Padding(side="start"), "attention_mask": Padding(mask=True)}
    with pytest.raises(BundleError, match="'ids' and 'attention_mask' share 'length' and are padded at different"):
        manifest_of(padding=given)
    ids, mask = TensorSpec("ids", ("batch", "length"), "int64"), TensorSpec("other", ("batch", "target"), "int64")
    assert padding_of(Signature((ids, mask)), {"ids": Padding(side="start")})["other"].side == "end"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("buckets", [[-1, 192], [2, 16]]),
        ("buckets", [[0, 192], [2, 16]]),
        ("buckets", [[2.5, 192], [2, 16]]),
        ("buckets", [[True, 192], [2, 16]]),
        ("buckets", [[2, 192, 1], [2, 16]]),
        ("buckets", [[2, 192]]),
        ("buckets", []),
        ("costs", [1.0, -1.0]),
        ("costs", [1.0, "x"]),
        ("files", []),
        ("files", [{"name": "../../escaped", "digest": "ab" * 32}]),
        ("files", [{"name": "/etc/passwd", "digest": "ab" * 32}]),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(key: str, value: object) -> None:
    document = json.loads(manifest_of().to_json())
    document["artefacts"][0][key] = value
    with pytest.raises(BundleError, match="does not hold what it should"):
        Manifest.from_json(resealed(document))


def test_a_manifest_that_was_edited_is_refused() -> None:
    edited = manifest_of().to_json().replace('"side":"end"', '"side":"start"')
    with pytest.raises(BundleError, match="damaged or edited"):
        Manifest.from_json(edited)


def test_buckets_are_in_the_order_of_the_signature_and_costed() -> None:
    (artefact,) = manifest_of().artefacts
    assert artefact.buckets == ((2, 16), (2, 32))
    assert artefact.costs == (1.5, 64.0)


def test_wrong_policies_are_refused() -> None:
    with pytest.raises(BundleError, match="no input 'idz' to pad"):
        manifest_of(padding={"idz": Padding()})
    with pytest.raises(BundleError, match="dynamic model is not in the bundle"):
        manifest_of(oversize="fallback")
    with pytest.raises(BundleError, match="'mirror' is no way to pad"):
        Padding("mirror")  # type: ignore[arg-type]


class _Masked:
    """Counts the real positions of every row."""

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert inputs["ids"].shape == inputs["attention_mask"].shape
        real = inputs["attention_mask"].sum(axis=1, keepdims=True)[..., None]
        return {"y": (np.zeros((*inputs["ids"].shape, 8)) + real).astype(np.float32)}

    def close(self) -> None: ...


def test_a_mask_is_made_where_it_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EnginePool, "_load", lambda pool, position, slot: _Masked())
    model = BucketedModel(tmp_path, manifest_of(), lambda path, options: _Masked())
    ids = np.full((1, 12), 5, np.int64)
    (row,) = model.run({"ids": ids})["y"]
    assert row.shape == (12, 8)
    assert (row == 12).all()
    given = {"ids": ids, "attention_mask": np.array([[1] * 4 + [0] * 8])}
    assert (model.run(given)["y"] == 4).all()
    mixed = model.run_many([{"ids": ids}, {"ids": ids[:, :4]}])
    assert [result["y"].shape for result in mixed] == [(1, 12, 8), (1, 4, 8)]
    assert (mixed[1]["y"] == 4).all()


def test_tokens_and_mask_are_padded_at_the_same_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Recording(_Masked):
        def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            seen.append({name: array.copy() for name, array in inputs.items()})
            return super().run(inputs)

    monkeypatch.setattr(EnginePool, "_load", lambda pool, position, slot: Recording())
    manifest = manifest_of(padding={"ids": Padding(side="start")})
    BucketedModel(tmp_path, manifest, lambda path, options: Recording()).run({"ids": np.full((1, 12), 5, np.int64)})
    assert seen[0]["attention_mask"][0].tolist() == [0] * 4 + [1] * 12
    assert (seen[0]["ids"] == 5 * seen[0]["attention_mask"]).all()


def test_a_size_at_which_the_model_does_not_run_is_refused_or_rounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EnginePool, "_load", lambda pool, position, slot: _Masked())
    ids = np.full((1, 11), 5, np.int64)
    refusing = BucketedModel(tmp_path, manifest_of(), lambda path, options: _Masked())
    with pytest.raises(BundleError, match=r"does not run at .*'length': 11.* nearest .*'length': 10.*'length': 12"):
        refusing.run({"ids": ids})
    rounding = BucketedModel(tmp_path, manifest_of(round_up=True), lambda path, options: _Masked())
    assert rounding.run({"ids": ids})["y"].shape == (1, 12, 8)


@pytest.mark.parametrize("padding", [{"mode": "x" * 100_000}, {"side": []}, {"value": "1"}, {"mask": 1}, {"other": 1}])
def test_a_way_to_pad_that_is_none_is_a_short_error_that_names_the_file(padding: dict[str, object]) -> None:
    document = json.loads(manifest_of().to_json())
    document["inputs"][0]["padding"] |= padding
    with pytest.raises(BundleError, match=r"^somewhere: does not hold what it should") as caught:
        Manifest.from_json(resealed(document), where="somewhere")
    assert len(str(caught.value)) < 500
