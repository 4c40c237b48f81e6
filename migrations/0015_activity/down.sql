drop index users_activity;
create index users_activity on users (coalesce(last_activity_at, 0), id) where deleted_at is null;
