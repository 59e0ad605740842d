-- Forget where those went that left before a time. In: the time.
delete from penstock_moved where at < ?1
