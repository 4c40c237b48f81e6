-- Users whose content is being removed in the background, piece by piece. Of one who was deleted for good nothing is
-- shown any more; one who may still be looked up by administrators loses the pictures alone.
create table removals (
  user_id integer not null primary key references users (id) on delete cascade,
  scope   text    not null check (scope = 'pictures' or scope = 'everything')
) strict;
