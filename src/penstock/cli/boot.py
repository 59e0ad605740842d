"""The first program of a process whose pool is gevent: `python boot.py MODULE ORDERS`, run by its path.

The standard library is patched before anything else is imported, Penstock too: what has taken a lock or a socket class
over by name before keeps the one that blocks. So this file imports nothing of Penstock, and nobody imports this file.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Patch, then go on as `python -m MODULE ORDERS`."""
    # Run by its path, a program finds its own folder's modules first; with -m, those of the folder it is started in.
    sys.path[0] = ""
    try:
        from gevent import monkey
    except ImportError:
        sys.exit("penstock: the pool gevent needs gevent: pip install 'penstock[gevent]'")
    monkey.patch_all()
    import runpy

    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
