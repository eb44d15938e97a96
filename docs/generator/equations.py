"""LaTeX to MathML while the site is built, so that a browser shows equations without any script."""

import re
from xml.etree import ElementTree

from latex2mathml.converter import convert as to_mathml

BLOCK = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"\$`([^`]+)`\$")
MATHML = "http://www.w3.org/1998/Math/MathML"
PRIME = "\N{PRIME}"


def convert(text: str) -> str:
    """`text` with its ```math blocks and its $`inline`$ formulas as MathML."""
    text = BLOCK.sub(lambda m: f'<div class="equation">{formula(m.group(1).strip(), "block")}</div>', text)
    return INLINE.sub(lambda m: f'<span class="formula">{formula(m.group(1), "inline")}</span>', text)


def formula(latex: str, display: str) -> str:
    """One formula as MathML: primes beside their letters, as raised once more they are dots, and room around "log"."""
    ElementTree.register_namespace("", MATHML)
    root = ElementTree.fromstring(to_mathml(latex, display=display))
    for each in list(root.iter()):
        kind = each.tag.removeprefix(f"{{{MATHML}}}")
        if kind in ("msup", "msubsup") and each[-1].text == PRIME:
            letter, *below, prime = each
            beside = ElementTree.Element(f"{{{MATHML}}}mrow")
            _operator(prime, "0")
            beside.extend((letter, prime))
            each.tag, each[:] = f"{{{MATHML}}}{'msub' if below else 'mrow'}", (beside, *below)
        elif kind == "mi" and len(each.text or "") > 1 and each.text.isalpha():
            _operator(each, "0.17em")
    return ElementTree.tostring(root, encoding="unicode")


def _operator(element: ElementTree.Element, room: str) -> None:
    """Makes it an operator with so much room on both sides."""
    element.tag = f"{{{MATHML}}}mo"
    element.attrib.update(lspace=room, rspace=room)
