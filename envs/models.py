"""MuJoCo models as C compiles them: Gymnasium's own XML, with what MJX must know beside it.

Only the solver's limits differ: fewer iterations than the XML allows, never fewer than C needs.
"""

import importlib.resources
import xml.etree.ElementTree as ET

import mujoco

ITERATIONS = 8
LINE_SEARCH_ITERATIONS = 10


def gymnasium_model(file: str, max_contact_points: int | None = None) -> mujoco.MjModel:
    """Gymnasium's `file` with a tuned solver and, for MJX, room for `max_contact_points` contacts a group."""
    assets = importlib.resources.files("gymnasium") / "envs" / "mujoco" / "assets"
    return compile_model(ET.fromstring((assets / file).read_text()), max_contact_points)


def compile_model(root: ET.Element, max_contact_points: int | None = None) -> mujoco.MjModel:
    """Compiles MJCF whose only numeric is MJX's cap on contacts.

    MJX reads a cap at the numeric's index, not its address, so no other numeric may come before it.
    """
    for custom in root.findall("custom"):
        root.remove(custom)
    if max_contact_points is not None:
        custom = ET.SubElement(root, "custom")
        ET.SubElement(custom, "numeric", name="max_contact_points", data=str(max_contact_points))
    compiler = root.find("compiler")
    total_mass = None if compiler is None else compiler.attrib.pop("settotalmass", None)
    model = mujoco.MjModel.from_xml_string(ET.tostring(root, encoding="unicode"))
    if total_mass is not None:  # as the compiler would do, were it not for its warning and log file
        mujoco.mj_setTotalmass(model, float(total_mass))
        mujoco.mj_setConst(model, mujoco.MjData(model))
    model.opt.iterations = ITERATIONS
    model.opt.ls_iterations = LINE_SEARCH_ITERATIONS
    return model
