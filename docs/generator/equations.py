"""LaTeX to MathML while the site is built, so that a browser shows equations without any script."""

import re

from latex2mathml.converter import convert as to_mathml

BLOCK = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"\$`([^`]+)`\$")


def convert(text: str) -> str:
    """`text` with its ```math blocks and its $`inline`$ formulas as MathML."""
    text = BLOCK.sub(lambda m: f'<div class="equation">{to_mathml(m.group(1).strip(), display="block")}</div>', text)
    return INLINE.sub(lambda m: f'<span class="formula">{to_mathml(m.group(1))}</span>', text)
