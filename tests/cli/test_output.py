"""Commands whose output has nowhere to go, as other tools take it; each in a process of its own."""

import os
import subprocess
import sys
import types

import pytest

from fastrl.cli import output as streams

COMMANDS = {
    "short": ["recipes"],
    "long": ["envs"],
    "usage": ["--help"],
    "options": ["run", "--help"],
    "wrong": ["run", "sac"],
}
FASTRL = [sys.executable, "-m", "fastrl.cli"]


def run(words, redirect="", **environment):
    """(exit code, stdout, stderr) of a command whose streams a shell redirects."""
    command = ["sh", "-c", f'exec "$@" {redirect}', "sh", *FASTRL, *words]
    found = subprocess.run(command, capture_output=True, check=False, env=os.environ | environment)
    return found.returncode, found.stdout.decode(), found.stderr.decode()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [COMMANDS["short"], COMMANDS["long"]])
def test_a_reader_that_has_enough_is_no_error(words, unbuffered):
    read, write = os.pipe()
    os.close(read)
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    found = subprocess.run(
        [*FASTRL, *words], stdout=write, stderr=subprocess.PIPE, text=True, check=False, env=environment
    )
    os.close(write)
    assert (found.returncode, found.stderr) == (141, "")


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_closed_streams_lose_words_and_nothing_else(words):
    code = 2 if words == COMMANDS["wrong"] else 0
    assert run(words, ">&- 2>&-") == (code, "", "")
    told = run(words, ">&-")[2]
    assert len(told.splitlines()) == (code != 0)


@pytest.mark.parametrize("words", [COMMANDS["short"], COMMANDS["long"], COMMANDS["usage"]])
def test_a_full_disk_is_one_line(words):
    assert run(words, ">/dev/full") == (1, "", "fastrl: the output: No space left on device\n")
    assert run(words, ">/dev/full 2>/dev/full") == (1, "", "")


def test_what_an_encoding_lacks_is_escaped():
    code, out, error = run(["run", "läufe"], PYTHONIOENCODING="ascii")
    assert (code, out) == (2, "") and error.startswith("fastrl: unknown recipe 'l\\xe4ufe'")
    script = "from fastrl.cli import output; output.prepare(); print('λ', 'a\\udcff')"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    assert subprocess.check_output([sys.executable, "-c", script], env=environment) == b"\\u03bb a\\udcff\n"


def test_a_file_of_the_machine_is_one_line_and_a_fault_of_ours_keeps_its_trace(capsys):
    def fails(error):
        def command():
            raise error

        return streams.delivered(command)

    assert fails(OSError(30, "Read-only file system", "runs/x")) == 1
    assert capsys.readouterr().err == "fastrl: runs/x: Read-only file system\n"
    with pytest.raises(FileNotFoundError):
        fails(FileNotFoundError(2, "No such file or directory", "ours"))
    assert streams.delivered(lambda: 7) == 7


def test_what_ends_late_or_without_memory_shows_no_trace(monkeypatch):
    shown = []
    monkeypatch.setattr(sys, "__unraisablehook__", shown.append)
    errors = RuntimeError("Event loop is closed"), MemoryError("std::bad_alloc"), RuntimeError("a bug")
    late, short, bug = (types.SimpleNamespace(exc_value=error) for error in errors)
    for found in (late, short, bug):
        streams._shown(found)
    assert shown == [bug]
