"""Counts what a compiled program does from its text: kernels loop by loop, copies, collectives. Knows neither jax nor
a device.

A kernel is an instruction that the device starts: everything but constants, views and tuples, and an asynchronous pair
once. A loop whose length stands in the text is multiplied by it. A loop whose length depends on the data (MJX's Newton
iterations) is counted by its rounds, k, and its condition then belongs to each round. A conditional counts as one
kernel, because the text does not say which branch is taken: what its branches hold is counted apart.
"""

import collections
import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")
COPIES = ("copy", "copy-start")
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "opt-barrier", "partition-id"}

_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*?)\s([a-z][a-z0-9\-]*)\((.*)$")
_ARRAY = re.compile(r"\b[a-z]+\d*\w*\[([\d,]*)\]")
_KNOWN = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_BRANCHES = re.compile(r"(?:branch_computations=\{([^}]*)\}|true_computation=(\S+), false_computation=(\S+))")

Instructions = Sequence["Instruction"]
Counts = collections.Counter[str]


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a computation."""

    name: str
    root: bool  # whether it is the computation's result
    result: str  # type of the result, layout and all
    kind: str
    rest: str  # operands and attributes

    def called(self, role: str) -> str:
        """The computation that stands in this instruction as `role`."""
        found = re.search(rf"\b{role}=%?([\w.\-]+)", self.rest)
        assert found is not None, f"{self.name} has no {role}"
        return found.group(1)

    def holds(self, elements: int) -> bool:
        """Whether an array of the result has this many elements."""
        return any(_elements(shape) == elements for shape in _ARRAY.findall(self.result))


@dataclasses.dataclass(frozen=True)
class Block:
    """One computation: what it starts itself, the loops in it and the branches of its conditionals."""

    counts: Counts  # kernels, of them copies and decisions, and "custom-call NAME"
    loops: tuple[tuple[int | None, "Block"], ...]  # (rounds, body); None depends on the data
    conditionals: tuple[tuple["Block", ...], ...]


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled module's text, cut into computations."""

    computations: Mapping[str, Instructions]
    entry: str

    def block(self, name: str, *conditions: str) -> Block:
        """The computation `name` with all that it calls; `conditions` are computations that run each time too."""
        counts: Counts = collections.Counter()
        loops: list[tuple[int | None, Block]] = []
        conditionals: list[tuple[Block, ...]] = []
        for each in (*self.computations[name], *(i for other in conditions for i in self.computations[other])):
            if each.kind == "while":
                loops.append(self._loop(each))
            elif each.kind == "call":
                inner = self.block(each.called("to_apply"))
                counts += inner.counts
                loops += inner.loops
                conditionals += inner.conditionals
            else:
                counts += _kernel(each)
                if each.kind == "conditional":
                    conditionals.append(tuple(self.block(branch) for branch in _branches(each)))
        return Block(counts, tuple(loops), tuple(conditionals))

    def _loop(self, each: Instruction) -> tuple[int | None, Block]:
        body, condition = each.called("body"), each.called("condition")
        known = _KNOWN.search(each.rest)
        rounds = int(known.group(1)) if known else _bound(self.computations[condition])
        if rounds is not None:
            return rounds, self.block(body)
        inner = self.block(body, condition)
        return None, dataclasses.replace(inner, counts=inner.counts + collections.Counter(decisions=1))

    def copies_of(self, elements: int) -> int:
        """Instructions that move an array of this many elements into another order or place, fused ones too."""
        moving = {name for name, lines in self.computations.items() if any(_moves(i, elements) for i in lines)}
        fused = {i.called("calls"): i for lines in self.computations.values() for i in lines if i.kind == "fusion"}
        own = [i for name, lines in self.computations.items() if name not in fused for i in lines]
        return sum(_moves(i, elements) for i in own) + sum(
            i.kind == "fusion" and i.holds(elements) and i.called("calls") in moving for i in own
        )

    def collectives(self) -> dict[str, int]:
        """How many there are of each kind, anywhere in the program."""
        kinds = [i.kind.removesuffix("-start") for lines in self.computations.values() for i in lines]
        return {kind: kinds.count(kind) for kind in COLLECTIVES if kind in kinds}


def parse(text: str) -> Program:
    """The text of an optimised HLO module."""
    computations: dict[str, list[Instruction]] = {}
    entry = current = ""
    for line in text.splitlines():
        if head := _HEAD.match(line):
            current = head.group(2)
            computations[current] = []
            entry = current if head.group(1) else entry
        elif found := _INSTRUCTION.match(line):
            root, *fields = found.groups()
            computations[current].append(Instruction(fields[0], root is not None, *fields[1:]))
    return Program(computations, entry)


def formula(block: Block) -> str:
    """Kernels of a block as an expression in k, loops written as `rounds*(kernels of a round)`."""
    terms = [str(block.counts["kernels"])]
    for rounds, body in block.loops:
        inner = formula(body)
        terms.append(f"{'k' if rounds is None else rounds}*{f'({inner})' if '+' in inner else inner}")
    return " + ".join(terms)


def total(block: Block, k: int) -> Counts:
    """All counts of a block, loops multiplied out, k rounds where the length is not known."""
    counts = block.counts.copy()
    for rounds, body in block.loops:
        counts += _times(total(body, k), k if rounds is None else rounds)
    return counts


def in_branches(block: Block, k: int, choose: Callable[[Iterable[int]], int]) -> int:
    """Kernels of one branch of every conditional, the one that `choose` (min, max) takes."""
    kernels = sum(choose(total(b, k)["kernels"] + in_branches(b, k, choose) for b in c) for c in block.conditionals)
    for rounds, body in block.loops:
        kernels += (k if rounds is None else rounds) * in_branches(body, k, choose)
    return kernels


def _kernel(each: Instruction) -> Counts:
    """What one instruction adds."""
    if each.kind in FREE or each.kind.endswith("-done"):
        return collections.Counter()
    counts = collections.Counter(kernels=1)
    counts["copies"] += each.kind in COPIES
    counts["decisions"] += each.kind == "conditional"
    if each.kind == "custom-call":
        target = re.search(r'custom_call_target="([^"]*)"', each.rest)
        counts[f"custom-call {target.group(1) if target else each.name}"] += 1
    return counts


def _branches(conditional: Instruction) -> list[str]:
    found = _BRANCHES.search(conditional.rest)
    assert found is not None, f"{conditional.name} has no branches"
    names = found.group(1).split(",") if found.group(1) else found.groups()[1:]
    return [name.strip(" %,") for name in names]


def _bound(condition: Instructions) -> int | None:
    """N of a condition `counter < N` over a counter from 0 by 1, as every scan has; None for another condition."""
    constants = {i.name: i.rest.split(")")[0] for i in condition if i.kind == "constant"}
    root = next(i for i in condition if i.root)
    if root.kind != "compare" or "direction=LT" not in root.rest:
        return None
    bound = re.findall(r"%([\w.\-]+)", root.rest.split(")")[0])[1]
    return int(constants[bound]) if constants.get(bound, "").isdigit() else None


def _moves(each: Instruction, elements: int) -> bool:
    return each.kind in (*COPIES, "transpose") and each.holds(elements)


def _times(counts: Counts, factor: int) -> Counts:
    return collections.Counter({name: factor * n for name, n in counts.items()})


def _elements(shape: str) -> int:
    product = 1
    for size in filter(None, shape.split(",")):
        product *= int(size)
    return product
