-- Since when the user has the present address, if it is not the first: sessions that are older were opened under
-- another one.
alter table users add column email_changed_at integer;

-- The address that a user can put back after a change. Until `expires_at` nobody else may take it.
create table address_changes (
  user_id       integer not null primary key references users (id) on delete cascade,
  email         text    not null collate nocase check (length(email) between 3 and 254),
  was_confirmed integer not null check (was_confirmed in (0, 1)),
  expires_at    integer not null
) strict;

create index address_changes_email on address_changes (email);

-- Letters that tell a user what happened are about that user, whoever has the address.
alter table letters rename to letters_before;
create table letters (
  id         integer primary key autoincrement,
  purpose    text    not null check (purpose = 'confirm_email' or purpose = 'reset_password'
                                     or purpose = 'restore_email' or purpose = 'password_changed'),
  -- As it was asked for; it may be nobody's.
  email      text    not null collate nocase check (length(email) between 3 and 254),
  user_id    integer references users (id) on delete cascade,
  state      text    not null default 'waiting' check (state in ('waiting', 'dead')),
  attempts   integer not null default 0 check (attempts >= 0),
  created_at integer not null,
  -- When it may be tried; once it is dead, when that was found.
  next_at    integer not null,
  last_error text    check (length(last_error) <= 300),
  unique (email, purpose)
) strict;

insert into letters (id, purpose, email, state, attempts, created_at, next_at, last_error)
  select id, purpose, email, state, attempts, created_at, next_at, last_error from letters_before;
-- Numbers are given once, those of removed rows included.
delete from sqlite_sequence where name = 'letters';
insert into sqlite_sequence (name, seq) select 'letters', seq from sqlite_sequence where name = 'letters_before';
drop table letters_before;

create index letters_next on letters (state, next_at);
create index letters_user on letters (user_id) where user_id is not null;

alter table proofs rename to proofs_before;
create table proofs (
  user_id    integer not null references users (id) on delete cascade,
  purpose    text    not null check (purpose = 'confirm_email' or purpose = 'reset_password'
                                     or purpose = 'restore_email'),
  digest     blob    not null unique check (length(digest) = 32),
  email      text    not null collate nocase,
  expires_at integer not null,
  primary key (user_id, purpose)
) strict, without rowid;

insert into proofs select * from proofs_before;
drop table proofs_before;

create index proofs_expiry on proofs (expires_at);
