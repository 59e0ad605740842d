"""What happened: events are emitted where they happen, and only this package logs, counts or exports them."""
