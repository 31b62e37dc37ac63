"""The documentation lists the options of the built-in backends."""

from __future__ import annotations

from scaling_tasks.compilers.options_page import PAGE, options_page
from scaling_tasks.compilers.registry import BUILT_IN, get_backend


def test_the_documentation_lists_the_options() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == options_page(), "run: python -m scaling_tasks.compilers.options_page"


def test_every_option_has_a_row() -> None:
    sections = options_page().split("\n## ")[1:]
    assert len(sections) == len(BUILT_IN)
    for backend, section in zip(BUILT_IN, sections, strict=True):
        fields = get_backend(backend).options_type.__struct_fields__
        assert [row.split("`")[1] for row in section.splitlines() if row.startswith("| `")] == list(fields)
    row = '| `inference_precision` | `"f32"`, `"bf16"`, `"f16"` | `"f32"` | in which a CPU computes |'
    assert row in sections[-1]
