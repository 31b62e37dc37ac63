"""Records on the wire, read by protobuf's own parser with the fields that Bazel's protocol publishes."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, unknown_fields
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_tasks.action import action_text, key_of
from scaling_tasks.errors import CacheError
from scaling_tasks.store.action_result import encode, stdout_of
from scaling_tasks.store.records import Record, StoredFile
from scaling_tasks.store.remote_records import ACTION_NAME, UnsignedError, decode_record, encode_record

COMPONENTS = {"stage": "compile", "inputs": {"model": "a" * 64}}
SECRET = b"0123456789abcdef0123456789abcdef"
PACKAGE = "build.bazel.remote.execution.v2"

# remote_execution.proto: field numbers, labels and types of what a server that validates an ActionResult knows.
MESSAGES = {
    "Digest": [("hash", 1, "string"), ("size_bytes", 2, "int64")],
    "OutputFile": [
        ("path", 1, "string"),
        ("digest", 2, "Digest"),
        ("is_executable", 4, "bool"),
        ("contents", 5, "bytes"),
    ],
    "OutputDirectory": [("path", 1, "string"), ("tree_digest", 3, "Digest")],
    "OutputSymlink": [("path", 1, "string"), ("target", 2, "string")],
    "ExecutedActionMetadata": [("worker", 1, "string")],
    "ActionResult": [
        ("output_files", 2, "OutputFile*"),
        ("output_directories", 3, "OutputDirectory*"),
        ("exit_code", 4, "int32"),
        ("stdout_raw", 5, "bytes"),
        ("stdout_digest", 6, "Digest"),
        ("stderr_raw", 7, "bytes"),
        ("stderr_digest", 8, "Digest"),
        ("execution_metadata", 9, "ExecutedActionMetadata"),
        ("output_file_symlinks", 10, "OutputSymlink*"),
    ],
}


def _action_result_class():
    file = descriptor_pb2.FileDescriptorProto(name="remote_execution.proto", package=PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            made = message.field.add(name=field, number=number)
            made.label = made.LABEL_REPEATED if kind.endswith("*") else made.LABEL_OPTIONAL
            kind = kind.removesuffix("*")
            if kind in MESSAGES:
                made.type, made.type_name = made.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
            else:
                made.type = getattr(made, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.ActionResult"))


ActionResult = _action_result_class()


def record(**details) -> Record:
    files = (StoredFile("net.onnx", "b" * 64, 300), StoredFile("sub/empty", "c" * 64, 0))
    return Record(key_of(COMPONENTS), COMPONENTS, files, {"seconds": 1.5, **details})


def test_a_record_is_an_action_result_that_names_all_that_a_server_must_keep_with_it():
    found = ActionResult.FromString(encode_record(record(), SECRET))
    assert len(unknown_fields.UnknownFieldSet(found)) == 0
    named = [(file.path, file.digest.hash, file.digest.size_bytes) for file in found.output_files]
    action = (ACTION_NAME, key_of(COMPONENTS), len(action_text(COMPONENTS)))
    assert named == [("net.onnx", "b" * 64, 300), ("sub/empty", "c" * 64, 0), action]
    assert found.exit_code == 0
    assert found.SerializeToString(deterministic=True) == encode_record(record(), SECRET)


@settings(max_examples=50, deadline=None)
@given(
    files=st.lists(st.tuples(st.text(), st.text("0123456789abcdef"), st.integers(0, 2**53)), max_size=4),
    stdout=st.binary(max_size=500),
)
def test_protobuf_reads_what_was_written(files, stdout):
    found = ActionResult.FromString(encode(files, stdout))
    assert [(each.path, each.digest.hash, each.digest.size_bytes) for each in found.output_files] == files
    assert found.stdout_raw == stdout_of(encode(files, stdout)) == stdout


def test_what_a_server_adds_does_not_matter():
    found = ActionResult.FromString(encode_record(record(), SECRET))
    found.execution_metadata.worker = "10.0.0.1"
    found.exit_code = 0
    found.stderr_raw = b"x"
    assert decode_record(found.SerializeToString(), COMPONENTS, key_of(COMPONENTS), SECRET) == record()


def test_a_signature_covers_files_details_and_key():
    signed = encode_record(record(), SECRET)
    key = key_of(COMPONENTS)
    assert decode_record(signed, COMPONENTS, key, SECRET) == record()
    assert decode_record(signed, COMPONENTS, key, None) == record()  # Who sets no key does not ask.
    for wrong in (encode_record(record(), None), encode_record(record(), b"another" * 5)):
        with pytest.raises(UnsignedError):
            decode_record(wrong, COMPONENTS, key, SECRET)
    # The signature of one record under the content of another.
    tail = signed[-77:]
    assert tail.startswith(b"hmac-sha256 ")
    forged = stdout_of(encode_record(record(seconds=9.0), None)) + tail
    with pytest.raises(UnsignedError):
        decode_record(encode([], forged), COMPONENTS, key, SECRET)
    with pytest.raises(CacheError, match="does not hold what it should"):
        decode_record(signed, {"other": 1}, key_of({"other": 1}), SECRET)


def test_a_record_cut_short_anywhere_is_refused():
    whole = encode_record(record(), None)
    key = key_of(COMPONENTS)
    for length in range(len(whole)):
        with pytest.raises(CacheError):
            decode_record(whole[:length], COMPONENTS, key, None)


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200))
def test_anything_else_is_refused(content):
    with pytest.raises(CacheError):
        decode_record(content, COMPONENTS, key_of(COMPONENTS), None)
