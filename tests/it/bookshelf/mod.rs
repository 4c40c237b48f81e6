//! bookshelf: the whole table of its contract, route by route.

mod books;
