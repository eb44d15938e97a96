import re
import stat
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fastrl.cli import main as cli
from fastrl.cli import show
from fastrl.errors import Failure, UserError
from fastrl.reports import render, video

PROGRAM = video.encoder()


@pytest.fixture
def none_installed(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)


def pictures(count=30, height=49, width=63):
    """A red block on white that goes from left to right."""
    for number in range(count):
        picture = np.full((height, width, 3), 255, np.uint8)
        picture[10:30, number : number + 20] = (200, 30, 30)
        yield picture


@pytest.mark.skipif(PROGRAM is None, reason="needs ffmpeg or imageio-ffmpeg")
def test_an_mp4_is_read_back_as_it_was_drawn(tmp_path):
    """Decoded to pixels again: 30 pictures of 0.04 s, their odd sides filled up."""
    path = tmp_path / "a.mp4"
    data = video.encoding(path)(pictures())
    path.write_bytes(data)
    assert data[4:8] == b"ftyp" and data.index(b"moov") < data.index(b"mdat"), "it can be played before it is whole"
    command = [PROGRAM, "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    said = done.stderr.decode()
    assert re.search(r"Video: h264 .*yuv420p.* 64x50.* 25 fps", said) and "Duration: 00:00:01.20" in said
    found = np.frombuffer(done.stdout, np.uint8).reshape(-1, 50, 64, 3)
    drawn = np.stack(list(pictures()))
    assert len(found) == 30
    assert np.abs(found[:, :49, :63].astype(int) - drawn).mean() < 1.5
    assert np.abs(drawn[1:].astype(int) - drawn[:-1]).mean() > 2, "neighbours differ by more than that"


def test_ffmpeg_on_the_path_is_taken_first(tmp_path, monkeypatch):
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho 'first line' >&2\necho 'Unknown encoder libx264' >&2\nexit 1\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert video.encoder() == str(program) and video.default() == "render.mp4"
    with pytest.raises(Failure, match=r"ffmpeg made no film \(Unknown encoder libx264\); name a \.gif"):
        video.encoding(tmp_path / "a.mp4")(pictures(300, 480, 640))  # more than a pipe holds
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]


@pytest.mark.usefixtures("none_installed")
def test_without_an_encoder_the_default_is_a_gif_and_an_mp4_is_one_line(tmp_path):
    assert video.encoder() is None and video.default() == "render.gif"
    with pytest.raises(UserError, match=r"a.mp4 needs an encoder: pip install 'fastrl\[video\]', or .*name a .gif"):
        video.encoding(tmp_path / "a.mp4")
    with pytest.raises(UserError, match=r"a.avi is no .mp4 and no .gif"):
        video.encoding(tmp_path / "a.avi")
    path = tmp_path / "a.gif"
    path.write_bytes(video.encoding(path)(pictures()))
    with Image.open(path) as image:
        assert (image.n_frames, image.size, image.info["duration"]) == (30, (63, 49), 40)


@pytest.mark.parametrize(("words", "out"), [([], "render.gif"), (["--out", "a.mp4"], "a.mp4")])
@pytest.mark.usefixtures("none_installed")
def test_the_command_draws_what_is_asked_for_or_what_can_be_drawn(monkeypatch, words, out):
    drawn = []
    monkeypatch.setattr(show.agents, "load", lambda run: "an agent")
    monkeypatch.setattr(show, "environment_of", lambda run, agent, env, options: ("maze", options))
    monkeypatch.setattr(render, "render", lambda agent, env, out, **given: drawn.append(out) or [out])
    assert cli.main(["render", "run", *words]) == 0 and drawn == [out]
