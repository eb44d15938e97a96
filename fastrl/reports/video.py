"""Pictures into a film: H.264 in an MP4 where an encoder is installed, and a GIF anywhere.

The encoder is `ffmpeg` on the PATH, or that of the package imageio-ffmpeg (the extra `video`).
"""

import functools
import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from fastrl.errors import Failure, UserError

FRAME = 0.04
"""Seconds that a picture is shown."""
COLOURS = 64
QUALITY = 20
"""x264's constant rate factor: 18 cannot be told from the pictures, 23 is its default."""

Encode = Callable[[Iterator[np.ndarray]], bytes]
"""Pictures [H, W, 3] of bytes, all of one size, into the bytes of a file."""


def encoder() -> str | None:
    """The program that makes MP4s; None where none is installed."""
    if (found := shutil.which("ffmpeg")) is not None:
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None


def default() -> str:
    """The name of a film that was given none: an MP4 where there is an encoder."""
    return "render.gif" if encoder() is None else "render.mp4"


def encoding(out: Path) -> Encode:
    """What makes a film of this name; raises `UserError` where none is known, or none is installed."""
    if out.suffix == ".gif":
        return gif
    if out.suffix != ".mp4":
        raise UserError(f"--out {out} is no .mp4 and no .gif; films are one or the other, name one")
    program = encoder()
    if program is None:
        raise UserError(f"--out {out} needs an encoder: pip install 'fastrl[video]', or install ffmpeg; or name a .gif")
    return functools.partial(mp4, program)


def gif(pictures: Iterator[np.ndarray]) -> bytes:
    """A GIF that begins again at its end."""
    images = [Image.fromarray(picture).quantize(COLOURS) for picture in pictures]
    out, duration = io.BytesIO(), round(1000 * FRAME)
    images[0].save(out, format="GIF", save_all=True, append_images=images[1:], duration=duration, loop=0)
    return out.getvalue()


def mp4(program: str, pictures: Iterator[np.ndarray]) -> bytes:
    """An MP4 that browsers play: H.264 in yuv420p with even sides, its index first; `program` is an ffmpeg.

    Raises `Failure` where the encoder fails, with its own last words.
    """
    first = next(pictures)
    height, width = first.shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        out, said = Path(folder) / "film.mp4", Path(folder) / "said"
        command = [program, "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
        command += ["-r", f"{1 / FRAME:g}", "-i", "-", "-an", "-c:v", "libx264", "-crf", str(QUALITY)]
        command += ["-pix_fmt", "yuv420p", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white"]
        command += ["-movflags", "+faststart", str(out)]
        with said.open("wb") as errors:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=errors, stderr=errors)
            _feed(process, first, pictures)
        if process.returncode or not out.is_file():
            lines = said.read_text(errors="replace").splitlines() or [f"exit code {process.returncode}"]
            raise Failure(f"{program} made no film ({lines[-1]}); name a .gif, or install another ffmpeg")
        return out.read_bytes()


def _feed(process: subprocess.Popen[bytes], first: np.ndarray, others: Iterator[np.ndarray]) -> None:
    """Hands the pictures to the encoder and waits until it has ended, or has ended before."""
    assert process.stdin is not None
    try:
        with process.stdin as pipe:
            pipe.write(first.tobytes())
            for picture in others:
                pipe.write(picture.tobytes())
    except BrokenPipeError:  # it ended early and has said why
        pass
    except BaseException:
        process.kill()
        raise
    finally:
        process.wait()
