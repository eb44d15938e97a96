"""What users hand over: objects from files of their own, by MODULE:NAME or FILE.py:NAME, and what is made of them."""

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from fastrl.errors import UserError, told, unknown

GIVEN = "__fastrl_file__"
"""Where a module that was imported from a FILE.py keeps the file's name, as it was given."""


def resolve(what: str, given: Any) -> Any:
    """The object that `given` names, or `given` itself where it is no text."""
    if not isinstance(given, str):
        return given
    where, colon, name = given.rpartition(":")
    if not colon or not where or not name:
        raise UserError(f"{what}: {given!r} is not MODULE:NAME or FILE.py:NAME, as my_code:MyClass")
    module = _file(what, Path(where)) if where.endswith(".py") else _module(what, where)
    if not hasattr(module, name):
        names = [found for found in vars(module) if not found.startswith("_")]
        raise unknown(f"name in {where}", name, names)
    return getattr(module, name)


def imports_nothing(given: str) -> bool:
    """Whether the code that `given` names was imported already by somebody else, so that finding it runs nothing new.

    What belongs to Python itself does not count: nobody hands that over.
    """
    where = given.rpartition(":")[0]
    if where.endswith(".py"):
        return _name(Path(where)) in sys.modules
    return where in sys.modules and where.partition(".")[0] not in sys.stdlib_module_names


def made_for(given: Any, spec: Any) -> Any:
    """A module as it is, or what a class or function makes of the environment's spec."""
    from flax import linen as nn

    if isinstance(given, nn.Module) or not callable(given):
        return given
    module_class = isinstance(given, type) and issubclass(given, nn.Module)
    try:
        return given() if module_class else given(spec)
    except UserError:
        raise
    except Exception as error:
        name = getattr(given, "__name__", repr(given))
        raise UserError(f"{name}(spec) fails: {told(error)}; it gets the environment's fastrl.Spec") from error


def _module(what: str, name: str) -> Any:
    """A module on Python's path, or in the folder where the command runs."""
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0] and error.name != name:
            raise UserError(f"{what}: {name} needs {error.name}, which is not installed") from error
        raise UserError(f"{what}: there is no module {name!r} here or on Python's path; name FILE.py:NAME") from error
    except Exception as error:
        raise _broken(what, name, error) from error
    finally:
        if added:
            sys.path.remove(here)


def _file(what: str, path: Path) -> Any:
    """A Python file, imported once."""
    if not path.is_file():
        raise UserError(f"{what}: there is no file {path}")
    if (name := _name(path)) in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    module.__dict__[GIVEN] = str(path)
    try:
        found.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _broken(what, str(path), error) from error
    return module


def _name(path: Path) -> str:
    """The module that a file becomes."""
    return f"{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"


def _broken(what: str, name: str, error: Exception) -> UserError:
    return UserError(f"{what}: {name} cannot be imported: {told(error)}")
