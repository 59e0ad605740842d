"""The ways to run jobs at the same time, one file each, and the table of their names."""

from __future__ import annotations

from importlib import import_module

from penstock.errors import ConfigError
from penstock.pools.base import Pool

#: name -> "module:class"; a pool's module is imported by the processes that run it, and by nobody else.
POOLS: dict[str, str] = {
    "prefork": "penstock.pools.prefork:PreforkPool",
    "threads": "penstock.pools.threads:ThreadsPool",
    "gevent": "penstock.pools.gevent:GeventPool",
    "asyncio": "penstock.pools.aio:AsyncioPool",
}


def load_pool(name: str) -> type[Pool]:
    """The class of a pool; `ConfigError` for a name that none has, or whose library is not installed."""
    try:
        module, _, attribute = POOLS[name].partition(":")
    except KeyError:
        raise ConfigError(f"no pool {name!r}: there are {', '.join(POOLS)}") from None
    pool: type[Pool] = getattr(import_module(module), attribute)
    return pool
