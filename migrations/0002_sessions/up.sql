-- One row a sign-in. A token lives while its session's row is here and has not ended: a row that is gone is an ended session.
create table sessions (
  id           blob    not null primary key check (length(id) = 16),
  user_id      integer not null references users (id) on delete cascade,
  -- The number of the living refresh token; each refresh adds one. The token itself is nowhere, not even as a hash.
  refresh_seq  integer not null default 0 check (refresh_seq >= 0),
  refreshed_at integer not null,
  created_at   integer not null,
  expires_at   integer not null,
  ended_at     integer
) strict, without rowid;

create index sessions_user on sessions (user_id);
create index sessions_expiry on sessions (expires_at);

-- Failed sign-ins since the last good one, by subject: an address, an account, or an account from an address.
create table sign_in_failures (
  subject     blob    not null primary key check (length(subject) = 32),
  failures    integer not null check (failures > 0),
  last_at     integer not null
) strict, without rowid;

create index sign_in_failures_age on sign_in_failures (last_at);

-- Addresses that an account has signed in from: a flood of failures elsewhere does not keep these out.
create table familiar_addresses (
  subject blob    not null primary key check (length(subject) = 32),
  user_id integer not null references users (id) on delete cascade,
  last_at integer not null
) strict, without rowid;

create index familiar_addresses_user on familiar_addresses (user_id);
create index familiar_addresses_age on familiar_addresses (last_at);

-- Mailed tokens, as SHA-256: one living one for a user and a purpose.
create table proofs (
  user_id    integer not null references users (id) on delete cascade,
  purpose    text    not null check (purpose in ('confirm_email', 'reset_password')),
  digest     blob    not null unique check (length(digest) = 32),
  email      text    not null collate nocase,
  expires_at integer not null,
  primary key (user_id, purpose)
) strict, without rowid;

create index proofs_expiry on proofs (expires_at);
