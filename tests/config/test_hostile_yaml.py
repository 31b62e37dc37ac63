"""YAML that would take for ever, or makes its library raise: one error with file and line."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from scaling_tasks.config.load import load_target, parse_target, read_targets
from scaling_tasks.config.source import LARGEST_NUMBER
from scaling_tasks.config.yaml_values import MOST_BYTES, MOST_DEPTH, MOST_MISTAKES, MOST_VALUES
from scaling_tasks.errors import ConfigError, Mistakes, in_order


def _bomb(form: str) -> str:
    names = "abcdefghi"
    lines = [form.format(after, ", ".join([f"*{name}"] * 9)) for name, after in pairwise(names)]
    return "a: &a {x: 1}\n" + "\n".join(lines) + "\n"


def _scaling(value: str) -> str:
    return f"model: m\nauto_scaling:\n  interval: {value}\n"


LIMITS = "model: m\nauto_scaling:\n  limits:\n"
MISTAKES: dict[str, tuple[str | bytes, str]] = {
    "alias bomb": (_bomb("{0}: &{0} [{1}]"), "t.yaml:.*more than 50000 values, aliases written out"),
    "merge bomb": (_bomb("{0}: &{0} {{<<: [{1}]}}"), "t.yaml:.*more than 50000 values, aliases written out"),
    "recursive alias": ("model: m\ninputs: &a\n  x: *a\n", "t.yaml:2: inputs.x: the value names itself"),
    "recursive list": ("model: m\ninputs: {x: &a [1, *a]}\n", "t.yaml:2: inputs.x.1: the value names itself"),
    "recursive merge": ("model: m\ninputs: &a\n  <<: *a\n", "t.yaml:.: inputs: the value names itself"),
    "nested lists": ("model: m\ninputs: " + "[" * 3000, "t.yaml:2: not YAML"),
    "nested mappings": ("model: m\ninputs: " + "{a: " * 3000, "t.yaml:2: not YAML"),
    "nested blocks": ("".join(f"{' ' * n}a:\n" for n in range(MOST_DEPTH + 1)), "more than 32 levels"),
    "many dashes": ("- " * 100_000, "t.yaml:1: not YAML"),
    "no int": (_scaling("!!int x"), "t.yaml:3: auto_scaling.interval: 'x' is no int"),
    "no float": (_scaling("!!float [1]"), "t.yaml:3: auto_scaling.interval: the tag .*float' has no meaning"),
    "no date": (_scaling("2020-13-45"), "t.yaml:3: auto_scaling.interval: '2020-13-45' is a text"),
    "a date": (_scaling("2020-01-01"), "t.yaml:3: auto_scaling.interval: '2020-01-01' is a text"),
    "an object": ("model: !!python/object/apply:os.system [ls]\n", "t.yaml:1: model: the tag .*has no meaning here"),
    "own tag": ("model: !own m\n", "t.yaml:1: model: the tag '!own' has no meaning here"),
    "binary value": ("model: !!binary aGk=\n", "t.yaml:1: model: the tag .*binary' has no meaning here"),
    "set": ("model: m\ninputs: !!set {a, b}\n", "t.yaml:2: inputs: the tag .*set' has no meaning here"),
    "mapping of another kind": ("!!omap {a: 1}\n", "not a mapping"),
    "digits": (_scaling("1" * 5000), "t.yaml:3: auto_scaling.interval: '111.*is no int"),
    "to the base of 8": (_scaling("017"), "t.yaml:3: auto_scaling.interval: 017 is 15 in YAML 1.1"),
    "to the base of 60": (_scaling("1:30:00"), "t.yaml:3: auto_scaling.interval: 1:30:00 is 5400 in YAML 1.1"),
    "a fraction to the base of 60": (_scaling("1:30.5"), "t.yaml:3: auto_scaling.interval: 1:30.5 is 90.5 in YAML 1.1"),
    "hexadecimal": (_scaling("0x" + "f" * 100_000), "t.yaml:3: auto_scaling.interval: .*is beyond"),
    "large": (_scaling(str(LARGEST_NUMBER + 1)), "t.yaml:3: auto_scaling.interval: 9007199254740993 is beyond"),
    "infinite": ("model: m\nverify:\n  absolute: .inf\n", "t.yaml:3: verify.absolute: inf is not a finite number"),
    "no number": ("model: m\nverify:\n  absolute: .nan\n", "t.yaml:3: verify.absolute: nan is not a finite number"),
    "far": ("model: m\nverify:\n  absolute: 1e999\n", "t.yaml:3: verify.absolute: inf is not a finite number"),
    "NUL": ('model: "a\\0b"\n', r"t.yaml:1: model: 'a\\x00b' holds what no file name"),
    "half a character": ('model: "a\\ud800b"\n', "t.yaml:1"),
    "control character": ("model: a\x01b\n", "t.yaml:1?.*not YAML"),
    "tab": ("model: m\nauto_scaling:\n\tinterval: 3\n", "t.yaml:3: not YAML .a tab.. Write spaces"),
    "tab behind": ("model: m\n\tdataset: d\n", "t.yaml:2: not YAML .a tab.. Write spaces"),
    "nothing": ("# model: m\n", "t.yaml: it says nothing. Write `model: …`"),
    "number as key": ("model: m\n1: 2\n", "t.yaml:2: the key '1' is no text"),
    "on as key": ("model: m\ninputs: {on: 2}\n", "t.yaml:2: inputs: the key 'on' is no text"),
    "list as key": ("model: m\n? [a]\n: 2\n", "t.yaml:2: the key 'a list or mapping' is no text"),
    "key twice through <<": ("model: m\nverify: &a {drop: 1}\ninputs:\n  <<: *a\n  <<: *a\n", "inputs.<<: .*twice"),
    "merged text": ("model: m\ninputs: {<<: x}\n", "t.yaml:2: inputs: `<<` does not name a mapping"),
    "type in a mapping": (LIMITS + "    a: {most: 1, each: 1}\n    b: 5\n", "yaml:5: auto_scaling.limits.b: 5 is"),
    "key in a mapping": (LIMITS + "    a: {most: 1, each: 1, mots: 1}\n", "limits.a.mots: .*Did you mean 'most'"),
    "timeout": ("model: m\ncompile: {timeout: 3000000}\n", "t.yaml:2: compile.timeout: 3000000 is above 2000000"),
    "list in a mapping": ("model: m\ninput_shape:\n  x: [1, -1]\n  y: 3\n", "t.yaml:4: input_shape.y: 3 is a whole"),
    "key of an input": ("model: m\nruntime: {padding: {x: {mod: zero}}}\n", "padding.x.mod: .*Did you mean 'mode'"),
    "bytes": (b"\x00\x01\x02\xff", "t.yaml: not UTF-8 text"),
    "UTF-16": ("model: m\n".encode("utf-16"), "t.yaml: not UTF-8 text"),
    "large file": (b"#" * (MOST_BYTES + 1), "t.yaml: cannot be read .it is larger than 262144 bytes"),
    "many values": ("inputs: {x: [" + "1," * (MOST_VALUES + 1) + "]}", "more than 50000 values"),
    "empty": ("", "t.yaml: it says nothing"),
    "two documents": ("model: m\n---\nmodel: n\n", "t.yaml:2: not YAML"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_error_with_its_line(mistake: str, tmp_path: Path) -> None:
    content, words = MISTAKES[mistake]
    path = tmp_path / "t.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=words) as caught:
        load_target(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_a_file_of_a_hundred_megabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.touch()
    os.truncate(path, 100 << 20)
    with pytest.raises(ConfigError, match="larger than"):
        load_target(path)


@pytest.mark.parametrize("name", ["t.yaml", "_defaults.yaml"])
def test_what_is_no_file_is_not_opened(name: str, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("model: m\n")
    for make in (os.mkfifo, Path.mkdir, lambda path: path.symlink_to(path), lambda path: path.symlink_to("/dev/zero")):
        path = tmp_path / name
        path.unlink(missing_ok=True)
        make(path)
        with pytest.raises(ConfigError, match=rf"{name}: cannot be read"):
            load_target(tmp_path / "t.yaml")
        path.rmdir() if path.is_dir() else path.unlink()


def test_what_yaml_offers_is_understood(tmp_path: Path) -> None:
    text = """\ufeff# Begins with a mark.
model: m.onnx
name: 2020-01-01
verify: &shared {absolute: 1e-4, relative: 1E+2, drop: 2}
auto_scaling:
  limits: {bytes: &limit {each: 2e6, most: 1e9}, more: {<<: *limit, most: 5.5}, last: {<<: [{most: 1.5}, *limit]}}
runtime: {round_up: on, multiples: {H: 0x20}}
inputs: {scale: [1.0, -2, 3_000], flag: true}
"""
    path = tmp_path / "t.yaml"
    path.write_text(text, encoding="utf-8")
    spec = load_target(path)
    assert (spec.name, spec.verify.absolute, spec.verify.relative) == ("2020-01-01", 1e-4, 100)
    limits = {name: (limit.each, limit.most) for name, limit in spec.auto_scaling.limits.items()}
    assert limits == {"bytes": (2e6, 1e9), "more": (2e6, 5.5), "last": (2e6, 1.5)}
    assert (spec.runtime.round_up, spec.runtime.multiples) == (True, {"H": 32})
    assert spec.inputs == {"scale": [1.0, -2, 3000], "flag": True}


@pytest.mark.parametrize(
    "values",
    [
        {"model": "a\0b"},
        {"model": "m", "verify": {"absolute": float("nan")}},
        {"model": "m", "auto_scaling": {"interval": 10**30}},
        {"model": "m", "auto_scaling": {"interval": 10**5000}},
        {"model": "m", "inputs": {1: 2}},
        {"model": "m", "inputs": {"\ud800": 2}},
    ],
)
def test_values_given_in_code_are_checked_too(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        parse_target(values)


def test_values_that_hold_themselves_are_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ConfigError, match="more than 32 levels"):
        parse_target({"model": "m", "inputs": {"x": endless}})


SEVERAL = """\
name: 1
model: 017
dataset: {path: d, format: imagess, format: csv}
auto_scaling:
  strategy: optimall
  max_scaling_num: 1e400
  interval: !!int x
  batch_choices: [1, .nan, 2]
  limit_side_len: 99999999999999999999
1: 2
compile: {backend: onnxruntime, timeout: 3000000, optons: {}}
runtime: {multiples: {H: !own 8, W: 0}}
"""
FOUND = """\
t.yaml:1: name: 1 is
t.yaml:2: model: 017 is 15 in YAML 1.1
t.yaml:3: dataset.format: the key is given twice, first in line 3
t.yaml:5: auto_scaling.strategy: 'optimall'
t.yaml:6: auto_scaling.max_scaling_num: inf is not a finite number
t.yaml:7: auto_scaling.interval: 'x' is no int
t.yaml:8: auto_scaling.batch_choices.1: nan is not a finite number
t.yaml:9: auto_scaling.limit_side_len: 99999999999999999999 is beyond
t.yaml:10: the key '1' is no text
t.yaml:11: compile.timeout: 3000000 is above
t.yaml:11: compile.optons: unknown key 'optons'
t.yaml:12: runtime.multiples.H: the tag '!own' has no meaning
t.yaml:12: runtime.multiples.W: 0 is
"""


def test_a_value_that_cannot_be_hides_nothing_else_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(SEVERAL)
    (reading,) = read_targets(path)
    found = [str(each).rpartition("/")[2] for each in in_order(reading.mistakes)]
    assert len(found) == len(FOUND.splitlines()), found
    for line in FOUND.splitlines():
        assert [each for each in found if each.startswith(line)], (line, found)


def test_one_wrong_value_that_is_named_often_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("model: m\nverify: {absolute: &a !!float x, relative: *a, drop: *a}\n")
    (reading,) = read_targets(path)
    assert [each.what for each in reading.mistakes] == ["'x' is no float"]
    path.write_text("model: m\ninputs: {x: [" + ".inf," * 10_000 + "]}\n")
    (reading,) = read_targets(path)
    assert len(reading.mistakes) == MOST_MISTAKES


def test_the_targets_of_a_matrix_are_not_told_from_wrong_values(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("model: m\nverify: {drop: 017, drop: 2}\nmatrix: {compile.backend: [lite, atc]}\n")
    with pytest.raises(Mistakes) as caught:
        read_targets(path)
    assert len(caught.value.errors) == 2
    path.write_text("model: m\nmatrix: !own {compile.backend: [lite, atc]}\n")
    with pytest.raises(ConfigError, match=r"t\.yaml:2: matrix: the tag"):
        read_targets(path)
