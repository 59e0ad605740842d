"""Runs commands of `penstock` side by side, each in a process of its own, forked when all is loaded that they share.

python forked.py ORDERS MODULE...: the orders are a list of the words, the environment and the file for standard error of each
command, and the modules are loaded first. What it prints is the list of their exit statuses. To boot for each is most of their work.
"""

import importlib
import json
import os
import sys

from penstock.cli.main import main


def become(words: list[str], environment: dict[str, str], said: str) -> None:
    """Go on as one of the commands; does not return."""
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT, 0o600), 2)
    main(words)


def run() -> None:
    orders, *modules = sys.argv[1:]
    for module in modules:
        importlib.import_module(module)
    children = []
    for order in json.loads(orders):
        child = os.fork()
        if child == 0:
            become(*order)
        children.append(child)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]))


if __name__ == "__main__":
    run()
