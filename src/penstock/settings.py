"""What is told from outside: one table of every setting, and where its values come from.

A value given in the call or on the command line comes first, then the environment, then a file, then the default.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock.core.signing import Signing

DEFAULT_URL = "sqlite:///penstock.db"
#: Files in the working folder that may hold settings, each with the table that they are in.
FILES = {"penstock.toml": (), "pyproject.toml": ("tool", "penstock")}
_PREFIX = "PENSTOCK_"


class Setting(msgspec.Struct, frozen=True):
    """A row of the table.

    Parameters:
        name: in a file, "worker.grace" for `grace` in the table `worker`.
        type: of its value in a file; a `list` of texts may be one text with commas as well, and `bytes` is a size of
            memory: a number, or text such as "500M".
        default: None where it depends on others, or is nothing.
        meaning: one line, which is also the flag's help.
    """

    name: str
    type: type
    default: Any
    meaning: str

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return _PREFIX + self.name.upper().replace(".", "_")

    @property
    def key(self) -> str:
        """Its name within its table."""
        return self.name.rpartition(".")[2]


TABLE = (
    Setting("url", str, DEFAULT_URL, "The broker of an app that names none, and of commands without WHERE."),
    Setting("backend", str, None, "The store that keeps what the broker can't, where that is RabbitMQ: a URL, as of a broker."),
    Setting("signing_keys", list, None, "Keys that payloads are signed with: the first signs, and what any of them has signed is run."),
    Setting("unsigned_tasks", list, None, "Tasks whose jobs are run without a signature, where there are keys; * is all."),
    Setting("app", str, None, "The app that `penstock worker` runs when it names none, as package.module:app."),
    Setting("worker.queues", list, None, "Take from these; without, all that the tasks name."),
    Setting("worker.pool", str, "prefork", "What runs the jobs: processes, threads, green threads or event loops."),
    Setting("worker.concurrency", int, None, "Jobs at a time: processes of prefork (without, 2 a core), else slots in a process."),
    Setting("worker.processes", int, None, "Processes, of -c slots each."),
    Setting("worker.lanes", dict, None, "Queues with a pool of their own, as \"io,mail=gevent:1000\"; may be repeated."),
    Setting("worker.autoscale", str, None, "A size that follows the work: 8,1 is at most 8 and at least 1."),
    Setting("worker.memory", bytes, None, "Of all processes together, as 1.5G: autoscaling stays within it."),
    Setting("worker.max_jobs_per_process", int, None, "A process that has ended so many leaves, and is replaced."),
    Setting("worker.max_memory_per_process", bytes, None, "A process that has more after a job, as 500M, is replaced."),
    Setting("worker.probe", str, None, "Answer GET /live, /ready and /health at this port, as 8080 or 0.0.0.0:8080."),
    Setting("worker.metrics_port", str, None, "Answer GET /metrics, for Prometheus, at this port, as 9100 or 0.0.0.0:9100."),
    Setting("worker.grace", float, 25.0, "How long running jobs may go on after a first signal to stop."),
    Setting("worker.burst", bool, False, "End when the queues are empty."),
    Setting("worker.reload", bool, False, "Start anew when the source has changed; for development."),
    Setting("worker.verbose", bool, False, "Log the jobs that end well, too."),
)  # fmt: skip
SETTINGS = {setting.name: setting for setting in TABLE}


class Settings(msgspec.Struct, frozen=True):
    """An app's settings.

    Parameters:
        url: of the broker.
        inline: run every job at `.delay`, in the caller's own thread; for tests.
    """

    url: str = DEFAULT_URL
    inline: bool = False
    signing_keys: tuple[str, ...] = ()
    unsigned_tasks: tuple[str, ...] = ()

    def elsewhere(self, url: str | None, *, inline: bool) -> Settings:
        """The same with another broker, where one is given."""
        return msgspec.structs.replace(self, url=url or self.url, inline=inline)

    @property
    def signing(self) -> Signing | None:
        """What signs and checks payloads; None without keys. `ConfigError` where one of them can be none."""
        if not self.signing_keys:
            return None
        from penstock.core.signing import Signing  # only where there are keys

        return Signing(self.signing_keys, self.unsigned_tasks)

    def __repr__(self) -> str:
        from penstock.core.masking import without_password

        return f"Settings(url={without_password(self.url)!r}, inline={self.inline})"


def load(url: str | None = None, *, backend: str | None = None, inline: bool = False) -> Settings:
    """The settings from arguments, then $PENSTOCK_URL and $PENSTOCK_BACKEND, then a file in the working folder, then the defaults.

    A backend becomes a part of the broker's URL, unless that names one.

    Raises:
        ConfigError: the file was needed, and can't be used as it is.
    """
    url = url or os.environ.get(SETTINGS["url"].variable)
    backend = backend or os.environ.get(SETTINGS["backend"].variable)
    file = read_files() if url is None else {}
    url = url or file.get("url") or DEFAULT_URL
    backend = backend or file.get("backend")
    return Settings(_joined(url, backend), inline, _several("signing_keys", file), _several("unsigned_tasks", file))


def _several(name: str, file: dict[str, Any]) -> tuple[str, ...]:
    """The texts of a setting: those of the environment, or of the file."""
    given = os.environ.get(SETTINGS[name].variable)
    if given is None:
        given = file.get(name, ())
    texts = given.split(",") if isinstance(given, str) else given
    return tuple(text.strip() for text in texts if text.strip())


def _joined(url: str, backend: str | None) -> str:
    if backend is None or "?backend=" in url or "&backend=" in url:
        return url
    from urllib.parse import quote  # with what it loads, 4 % of `import penstock`

    return f"{url}{'&' if '?' in url else '?'}backend={quote(backend, safe='')}"


def read_files() -> dict[str, Any]:
    """The settings that a file in the working folder has, by the names of the table.

    Raises:
        ConfigError: a file can't be read, two of them have settings, or one has a setting that there is not.
    """
    found = {name: values for name, path in FILES.items() if (values := _read(name, path)) is not None}
    if len(found) > 1:
        raise ConfigError(f"both {' and '.join(found)} have settings of Penstock: keep them in one")
    return {key: value for name, values in found.items() for key, value in _flat(name, values).items()}


def _read(file: str, path: tuple[str, ...]) -> Any:
    """The table at a path in a TOML file; None where there is none."""
    try:
        with open(file, "rb") as source:
            text = source.read()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error.strerror}") from None
    if path and path[-1].encode() not in text:
        return None  # most files of other tools, which need not be parsed for it
    import tomllib

    try:
        values: Any = tomllib.loads(text.decode("utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file} can't be read: {error}") from None
    for step in path:
        values = values.get(step) if isinstance(values, dict) else None
    return values


def _flat(file: str, values: Any, table: str = "") -> dict[str, Any]:
    """Values by the names of the table, checked."""
    where = f"{file}{f', {table}' if table else ''}"
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: write a table of settings, not {values!r}")
    tables = {name.rpartition(".")[0] for name in SETTINGS} - {""}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{table}.{key}" if table else key
        if name in tables:
            flat |= _flat(file, value, name)
        elif name in SETTINGS:
            flat[name] = _checked(where, SETTINGS[name], value)
        else:
            raise ConfigError(f"{where}: {_unknown(key, table)}")
    return flat


def _unknown(key: str, table: str) -> str:
    from difflib import get_close_matches

    names = {name.rpartition(".")[2]: name for name in SETTINGS} | {"worker": "worker"}
    close = get_close_matches(key, names, 1)
    if not close:
        known = sorted(key for key, name in names.items() if name.rpartition(".")[0] == table)
        return f"there is no setting {key!r}; there are {', '.join(known)}"
    home = names[close[0]].rpartition(".")[0]
    where = "" if home == table else f" in {home}" if home else ", before the first table"
    return f"there is no setting {key!r}: did you mean {close[0]!r}{where}?"


_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list of texts",
          dict: "a table of texts", bytes: "a size, as \"500M\" or a number of bytes"}  # fmt: skip


def _checked(where: str, setting: Setting, value: Any) -> Any:
    fits = type(value) is setting.type
    if setting.type is float:
        fits = type(value) in (int, float)
    elif setting.type is list:
        fits = isinstance(value, str) or (isinstance(value, list) and all(isinstance(each, str) for each in value))
    elif setting.type is bytes:
        fits = type(value) in (str, int)
    elif setting.type is dict:
        fits = isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
    if not fits:
        raise ConfigError(f"{where}: {setting.key} is {_NAMES[setting.type]}, not {value!r}")
    return value
