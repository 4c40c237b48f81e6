create table books (
  id           integer primary key autoincrement,
  uuid         blob    not null unique check (length(uuid) = 16),
  title        text    not null check (length(title) between 1 and 255),
  author       text    not null check (length(author) between 1 and 255),
  publisher    text    not null check (length(publisher) between 1 and 255),
  publish_date text    not null check (publish_date glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
  pages        integer not null check (pages between 1 and 100000),
  language     text    not null check (length(language) between 1 and 255),
  user_id      integer references users (id) on delete set null,
  created_at   integer not null,
  updated_at   integer not null
) strict;

-- Newest first is by id: ids only grow.
create index books_user on books (user_id, id desc);
