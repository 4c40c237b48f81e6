-- The outbox: letters that wait for their way out. No token is in it: that is made when a letter leaves.
create table letters (
  id         integer primary key autoincrement,
  purpose    text    not null check (purpose in ('confirm_email', 'reset_password')),
  -- As it was asked for; it may be nobody's.
  email      text    not null collate nocase check (length(email) between 3 and 254),
  state      text    not null default 'waiting' check (state in ('waiting', 'dead')),
  attempts   integer not null default 0 check (attempts >= 0),
  created_at integer not null,
  -- When it may be tried; once it is dead, when that was found.
  next_at    integer not null,
  last_error text    check (length(last_error) <= 300),
  unique (email, purpose)
) strict;

create index letters_next on letters (state, next_at);
