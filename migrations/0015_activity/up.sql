-- Who never was there is shown, and sorted, by the time of the registration.
drop index users_activity;
create index users_activity on users (coalesce(last_activity_at, created_at), id) where deleted_at is null;
