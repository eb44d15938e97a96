"""Accelerators by the names that their clouds give them: hosts, chips, memory and published peaks."""

import dataclasses
import re

from fastrl.errors import UserError, unknown


@dataclasses.dataclass(frozen=True)
class Chip:
    """One kind of chip; peaks are its maker's."""

    name: str
    memory: float  # bytes
    bandwidth: float  # bytes a second
    flops: float  # a second, at the precision that jax multiplies float32 matrices in by default


CHIPS: dict[str, Chip] = {
    "v4": Chip("TPU v4", 32e9, 1.228e12, 275e12),
    "v5e": Chip("TPU v5e", 16e9, 0.819e12, 197e12),
    "v5p": Chip("TPU v5p", 95e9, 2.765e12, 459e12),
    "v6e": Chip("TPU v6e", 32e9, 1.640e12, 918e12),
    "h100": Chip("NVIDIA H100 SXM", 80e9, 3.35e12, 67e12),
}
"""TPUs multiply in bfloat16 by default, an H100 in float32 (494e12 in TF32, which has to be asked for)."""

FLAT = {1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"}
CUBES = {4: "2x2x1", 8: "2x2x2", 16: "2x2x4", 32: "2x4x4", 64: "4x4x4", 128: "4x4x8", 256: "4x8x8", 512: "8x8x8"}
SHAPES = {"v4": CUBES, "v5e": FLAT, "v5p": CUBES, "v6e": FLAT}
"""Topologies by the number of chips."""

RUNTIMES = {
    "v4": "tpu-ubuntu2204-base",
    "v5e": "v2-alpha-tpuv5-lite",
    "v5p": "v2-alpha-tpuv5",
    "v6e": "v2-alpha-tpuv6e",
}
NODE_LABELS = {
    "v4": "tpu-v4-podslice",
    "v5e": "tpu-v5-lite-podslice",
    "v5p": "tpu-v5p-slice",
    "v6e": "tpu-v6e-slice",
}


@dataclasses.dataclass(frozen=True)
class Slice:
    """A slice of a TPU pod: hosts that are connected with one another."""

    kind: str
    chips: int

    @property
    def topology(self) -> str:
        """Its shape, as `16x16`."""
        return SHAPES[self.kind][self.chips]

    @property
    def chips_per_host(self) -> int:
        """Chips of each host: all of a small v5e or v6e slice, else four."""
        return self.chips if self.kind in ("v5e", "v6e") and self.chips <= 8 else 4

    @property
    def hosts(self) -> int:
        """Hosts, each with a process of the job."""
        return self.chips // self.chips_per_host

    @property
    def accelerator_type(self) -> str:
        """Google's name, which counts the cores of v4 and v5p, two a chip."""
        count = self.chips if self.kind in ("v5e", "v6e") else 2 * self.chips
        return f"{'v5litepod' if self.kind == 'v5e' else self.kind}-{count}"


def tpu(name: str) -> Slice:
    """The slice of `tpu-v5e-256`: the number is of chips, of v4 and v5p too."""
    found = re.fullmatch(r"tpu-(v\w+)-(\d+)", name)
    if found is None:
        raise UserError(f"--on {name!r} is no TPU; write tpu-KIND-CHIPS, for example tpu-v5e-256")
    kind, chips = found[1], int(found[2])
    if kind not in SHAPES:
        raise unknown("kind of TPU", kind, SHAPES)
    if chips not in SHAPES[kind]:
        raise UserError(
            f"--on {name}: there is no slice of {chips} chips; {kind} has {', '.join(map(str, SHAPES[kind]))}"
        )
    return Slice(kind, chips)
