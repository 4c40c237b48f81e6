alter table items rename to items_before;
create table items (
  id         integer primary key autoincrement,
  uuid       blob    not null unique check (length(uuid) = 16),
  name       text    not null check (length(name) between 1 and 64),
  category   text    not null check (category in ('Grocery', 'Household', 'Electronics', 'Stationery',
                                                  'Personal Care', 'Apparel', 'Home Improvement', 'Pet')),
  price_usd  real    not null check (price_usd between 0 and 1e9),
  in_stock   integer not null check (in_stock in (0, 1)),
  user_id    integer not null references users (id) on delete cascade,
  created_at integer not null,
  updated_at integer not null
) strict;

insert into items select * from items_before;
-- Numbers are given once, those of removed rows included.
delete from sqlite_sequence where name = 'items';
insert into sqlite_sequence (name, seq) select 'items', seq from sqlite_sequence where name = 'items_before';
drop table items_before;

-- Newest first is by id: ids only grow.
create index items_user on items (user_id);

alter table todos rename to todos_before;
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

insert into todos select * from todos_before;
delete from sqlite_sequence where name = 'todos';
insert into sqlite_sequence (name, seq) select 'todos', seq from sqlite_sequence where name = 'todos_before';
drop table todos_before;

-- Newest first is by id: ids only grow.
create index todos_user on todos (user_id, id desc);
create index todos_state on todos (user_id, is_completed, id desc);

-- As in 0005: the totals are kept by the table itself.
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
