-- Users who had to confirm the address at sign-up, until it is seen whether they ever did: the oldest first.
create table unconfirmed (
  user_id integer not null primary key references users (id) on delete cascade,
  since   integer not null
) strict;

create index unconfirmed_since on unconfirmed (since);

insert into unconfirmed (user_id, since)
  select id, created_at from users
  where confirm_required = 1 and email_confirmed_at is null and email_changed_at is null
    and last_activity_at is null and deleted_at is null;
