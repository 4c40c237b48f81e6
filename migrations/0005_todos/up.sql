create table todos (
  id           integer primary key autoincrement,
  title        text    not null check (length(title) between 1 and 255),
  description  text    check (length(description) <= 10000),
  priority     text    not null check (priority in ('low', 'medium', 'high')),
  is_completed integer not null default 0 check (is_completed in (0, 1)),
  user_id      integer not null references users (id) on delete cascade,
  created_at   integer not null,
  updated_at   integer not null
) strict;

-- Newest first is by id: ids only grow.
create index todos_user on todos (user_id, id desc);
create index todos_state on todos (user_id, is_completed, id desc);

-- How many todos a user has, so that nobody counts them for a page.
create table todo_totals (
  user_id   integer not null primary key references users (id) on delete cascade,
  open      integer not null check (open >= 0),
  completed integer not null check (completed >= 0)
) strict;

create trigger todos_added after insert on todos begin
  insert into todo_totals (user_id, open, completed)
  values (new.user_id, not new.is_completed, new.is_completed)
  on conflict (user_id) do update set
    open = open + excluded.open, completed = completed + excluded.completed;
end;

create trigger todos_removed after delete on todos begin
  update todo_totals set open = open - (not old.is_completed), completed = completed - old.is_completed
  where user_id = old.user_id;
end;

create trigger todos_moved after update of is_completed, user_id on todos
when old.is_completed <> new.is_completed or old.user_id <> new.user_id begin
  update todo_totals set open = open - (not old.is_completed), completed = completed - old.is_completed
  where user_id = old.user_id;
  insert into todo_totals (user_id, open, completed)
  values (new.user_id, not new.is_completed, new.is_completed)
  on conflict (user_id) do update set
    open = open + excluded.open, completed = completed + excluded.completed;
end;

-- The same for the users that are not deleted: one row.
create table user_total (
  id    integer not null primary key check (id = 1),
  users integer not null check (users >= 0)
) strict;

insert into user_total (id, users) select 1, count(*) from users where deleted_at is null;

create trigger users_added after insert on users when new.deleted_at is null begin
  update user_total set users = users + 1;
end;

create trigger users_removed after delete on users when old.deleted_at is null begin
  update user_total set users = users - 1;
end;

create trigger users_moved after update of deleted_at on users
when (old.deleted_at is null) <> (new.deleted_at is null) begin
  update user_total set users = users + (new.deleted_at is null) - (old.deleted_at is null);
end;

-- Pages by number skip along this one.
create index users_listed on users (id) where deleted_at is null;
