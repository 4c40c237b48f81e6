delete from letters where purpose <> 'confirm_email' and purpose <> 'reset_password';
delete from proofs where purpose = 'restore_email';

alter table letters rename to letters_before;
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

insert into letters (id, purpose, email, state, attempts, created_at, next_at, last_error)
  select id, purpose, email, state, attempts, created_at, next_at, last_error from letters_before;
delete from sqlite_sequence where name = 'letters';
insert into sqlite_sequence (name, seq) select 'letters', seq from sqlite_sequence where name = 'letters_before';
drop table letters_before;

create index letters_next on letters (state, next_at);

alter table proofs rename to proofs_before;
create table proofs (
  user_id    integer not null references users (id) on delete cascade,
  purpose    text    not null check (purpose in ('confirm_email', 'reset_password')),
  digest     blob    not null unique check (length(digest) = 32),
  email      text    not null collate nocase,
  expires_at integer not null,
  primary key (user_id, purpose)
) strict, without rowid;

insert into proofs select * from proofs_before;
drop table proofs_before;

create index proofs_expiry on proofs (expires_at);

drop table address_changes;
alter table users drop column email_changed_at;
