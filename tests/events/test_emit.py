from penstock.events.emit import BatchEnded, Emitter, Event, StoreBack


def test_a_listener_hears_the_kind_it_asked_for() -> None:
    heard: list[Event] = []
    emitter = Emitter()
    emitter.subscribe(BatchEnded, heard.append)
    batch = BatchEnded("shop.store", 100, 0.02)
    emitter.emit(StoreBack())
    emitter.emit(batch)
    assert heard == [batch]


def test_the_base_of_all_events_stands_for_any() -> None:
    heard: list[Event] = []
    emitter = Emitter()
    emitter.subscribe(Event, heard.append)
    emitter.emit(StoreBack())
    assert heard == [StoreBack()]
