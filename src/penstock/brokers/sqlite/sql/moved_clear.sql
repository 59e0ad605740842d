-- Jobs come here: what went elsewhere may be among them.
delete from penstock_moved
