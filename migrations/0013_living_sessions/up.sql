-- The sessions of a user that may be used, least recently used first: there is a bound on them.
create index sessions_living on sessions (user_id, refreshed_at) where ended_at is null;
