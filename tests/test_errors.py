"""What an error of the system or of XLA becomes."""

import errno

import pytest

from fastrl import errors


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError("odd"), "odd"),
        (ValueError("Failed to write 3 bytes [os_error_code='30']"), "Read-only file system"),
    ],
)
def test_what_cannot_be_written_is_one_line(error, cause):
    with pytest.raises(errors.UserError) as caught, errors.writing("DIR cannot be written"):
        raise error
    assert str(caught.value) == f"DIR cannot be written ({cause}); choose another place or make room"


def test_a_bug_stays_one():
    with pytest.raises(ValueError, match=r"^a bug$"), errors.writing("DIR"):
        raise ValueError("a bug")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MemoryError(), "there is not enough memory;"),
        (RuntimeError("At:\nRESOURCE_EXHAUSTED: Out of memory\nmore"), "(RESOURCE_EXHAUSTED: Out of memory);"),
        (ImportError("x.so: failed to map segment from shared object"), "(x.so: failed to map segment from"),
        (RuntimeError("can't start new thread"), "(can't start new thread);"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "Cannot allocate memory);"),
    ],
)
def test_want_of_memory_is_one_line(error, cause):
    found = str(errors.short_of_memory(error))
    assert cause in found and "\n" not in found and "--dry-run" in found


def test_other_errors_are_not_for_want_of_memory():
    assert errors.short_of_memory(RuntimeError("memory of a goldfish")) is None
