"""The broker on RabbitMQ, with another store for what messages can't do."""
