-- Whether a refresh at the API that began the session leaves its token unspent.
alter table sessions add column keeps_refresh integer not null default 0 check (keeps_refresh in (0, 1));

-- Whoever signs in after his deletion is told so.
create index users_deleted_email on users (email, deleted_at desc) where deleted_at is not null;

-- The orders of the administrators' lists.
create index users_deleted_id on users (id) where deleted_at is not null;
create index users_balance on users (balance, id) where deleted_at is null;
create index users_activity on users (coalesce(last_activity_at, 0), id) where deleted_at is null;
