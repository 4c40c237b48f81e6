create table users (
  id                 integer primary key autoincrement,
  uuid               blob    not null unique check (length(uuid) = 16),
  email              text    not null collate nocase check (length(email) between 3 and 254),
  username           text    check (length(username) between 1 and 100 and instr(username, '@') = 0),
  -- The username in lower case, by Unicode's rules: what it is unique by.
  username_key       text    unique check ((username is null) = (username_key is null)),
  display_name       text    check (length(display_name) <= 255),
  first_name         text    check (length(first_name) <= 100),
  last_name          text    check (length(last_name) <= 100),
  full_name          text    check (length(full_name) <= 255),
  password_hash      text    not null check (password_hash like '$argon2id$%'),
  role               text    not null default 'user' check (role in ('admin', 'moderator', 'user')),
  is_active          integer not null default 1 check (is_active in (0, 1)),
  blocked_at         integer,
  deleted_at         integer,
  confirm_required   integer not null default 0 check (confirm_required in (0, 1)),
  email_confirmed_at integer,
  balance            integer not null default 0 check (balance between 0 and 9007199254740991),
  epoch              integer not null default 0 check (epoch >= 0),
  created_at         integer not null,
  updated_at         integer not null,
  last_activity_at   integer
) strict;

-- A soft-deleted user keeps the row and frees the address.
create unique index users_email on users (email) where deleted_at is null;
create index users_deleted on users (deleted_at) where deleted_at is not null;
create index users_admins on users (id) where role = 'admin';
