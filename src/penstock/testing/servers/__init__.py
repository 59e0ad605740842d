"""Private database servers for tests and benchmarks: real ones, on free ports, in temporary folders."""

from __future__ import annotations

from penstock.testing.servers.mongodb import MongoServer
from penstock.testing.servers.postgres import PostgresServer
from penstock.testing.servers.rabbitmq import RabbitServer
from penstock.testing.servers.redis import RedisServer

__all__ = ["MongoServer", "PostgresServer", "RabbitServer", "RedisServer"]
