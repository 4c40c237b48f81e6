create table contacts (
  id           integer primary key autoincrement,
  user_id      integer not null references users (id) on delete cascade,
  fullname     text    not null check (length(fullname) between 1 and 150),
  email        text    not null check (length(email) <= 200),
  phone_number integer not null,
  -- YYYY-MM-DD (RFC 3339 §5.6).
  birthday     text    not null check (birthday glob '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]'),
  additional   text    not null check (length(additional) <= 500),
  -- An address: of a picture in this database, or whatever the owner gave.
  avatar       text    not null check (length(avatar) <= 2048),
  created_at   integer not null,
  updated_at   integer not null,
  unique (user_id, fullname)
) strict;

create index contacts_user on contacts (user_id, id);
-- The days of a year, MM-DD.
create index contacts_birthday on contacts (user_id, substr(birthday, 6), id);
