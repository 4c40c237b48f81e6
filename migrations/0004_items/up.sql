create table items (
  id         integer primary key autoincrement,
  uuid       blob    not null unique check (length(uuid) = 16),
  name       text    not null check (length(name) between 1 and 64),
  category   text    not null check (category in ('Grocery', 'Household', 'Electronics', 'Stationery',
                                                  'Personal Care', 'Apparel', 'Home Improvement', 'Pet')),
  price_usd  real    not null check (price_usd between 0 and 1e9),
  in_stock   integer not null check (in_stock in (0, 1)),
  user_id    integer not null references users (id) on delete cascade,
  created_at integer not null,
  updated_at integer not null
) strict;

-- Newest first is by id: ids only grow.
create index items_user on items (user_id);
