"""Runs when a Python program starts under `vmbus run`, which puts this folder on PYTHONPATH.

Promises    The program finds AF_HYPERV in `socket` (package vmbus_hyperv, beside this folder), added
            when it imports `socket`. Its own sitecustomize, the next one on sys.path, runs as if
            this one did not exist: same name in sys.modules, same errors, also the one that there
            is none. This folder is taken off sys.path; children find it in the environment.
Cost        Without `import socket`: this file alone.
Off         VMBUS_PYTHON=0, or `vmbus run --no-python`.
"""

import os
import sys
# importlib.machinery names this same class; importing that would cost more than all the rest here.
from _frozen_importlib_external import PathFinder

_here = os.path.dirname(__file__)
_packages = [os.path.dirname(_here)]


def _add_hyperv(module):
    """A program that never wanted AF_HYPERV must not fail because adding it did: it is warned."""
    try:
        import vmbus_hyperv
        vmbus_hyperv.install(module)
    except Exception as error:
        import warnings
        warnings.warn(f"vmbus: no socket.AF_HYPERV here: {error!r}", RuntimeWarning)


class _Loader:
    """The loader of `socket`, with one thing to do afterwards. The module never sees this object."""

    def __init__(self, loader):
        self._loader = loader

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        _add_hyperv(module)


class _Finder:
    """First on sys.meta_path: `socket`, from where it always was, and our package."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "vmbus_hyperv":
            return PathFinder.find_spec(name, _packages, target)
        if name != "socket":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


def _import_the_programs_own():
    """`import sitecustomize` again, without this folder and this module.

    The interpreter's import of this module is still under way and takes what it then finds in
    sys.modules; what is raised here, it reports, or ignores if it says that there is no such module.
    """
    sys.path[:] = [folder for folder in sys.path if folder != _here]
    del sys.modules["sitecustomize"]
    import sitecustomize  # noqa: F401


if os.environ.get("VMBUS_PYTHON") != "0":
    sys.meta_path.insert(0, _Finder)
    if "socket" in sys.modules:
        _add_hyperv(sys.modules["socket"])
_import_the_programs_own()
