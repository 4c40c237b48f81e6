-- Pictures that users uploaded, drawn anew: the name is the address, and whoever knows it may see the picture.
create table avatars (
  name       text    not null primary key check (length(name) = 24),
  user_id    integer not null references users (id) on delete cascade,
  media_type text    not null check (media_type in ('image/jpeg', 'image/png')),
  bytes      blob    not null check (length(bytes) between 1 and 262144),
  created_at integer not null
) strict;

create index avatars_user on avatars (user_id);
