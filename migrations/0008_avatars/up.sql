-- Pictures that users uploaded, drawn anew: the name is the address, and whoever knows it may see the picture.
create table avatars (
  name       text    not null primary key check (length(name) = 24),
  contact_id integer not null unique references contacts (id) on delete cascade,
  media_type text    not null check (media_type in ('image/jpeg', 'image/png')),
  bytes      blob    not null check (length(bytes) between 1 and 262144),
  created_at integer not null
) strict;
