"""Whether the device that is traced for runs our kernels, and how to do without them."""

import contextlib
import contextvars
import os
from collections.abc import Iterator

import jax
import jax.numpy as jnp

CAPABILITY = 9.0
"""What a GPU needs at least (an H100 has it): older ones keep the plain forms."""

SWITCH = "FASTRL_KERNELS"
"""The environment variable that leaves all kernels out where it is `off`."""

_LEFT_OUT: contextvars.ContextVar[bool] = contextvars.ContextVar("left_out", default=False)


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """Within it programs are traced in plain operations, whatever the device: for comparisons."""
    token = _LEFT_OUT.set(True)
    try:
        yield
    finally:
        _LEFT_OUT.reset(token)


def wanted(dtype: jnp.dtype, *backends: str) -> bool:
    """Whether kernels in float32 are wanted where programs are traced for one of `backends` (`gpu`, `tpu`).

    A GPU must be NVIDIA's and new enough. A program that is compiled for a card that is not there has no card to ask;
    such a card is new enough.
    """
    if _LEFT_OUT.get() or os.environ.get(SWITCH) == "off" or dtype != jnp.float32:
        return False
    backend, card = jax.default_backend(), jax.local_devices()[0]
    number = str(getattr(card, "compute_capability", CAPABILITY))  # such as 9.0, or gfx942 of another maker
    new = number[0].isdigit() and float(number) >= CAPABILITY
    return backend in backends and (backend == "tpu" or new)
