drop index users_listed;
drop trigger users_moved;
drop trigger users_removed;
drop trigger users_added;
drop table user_total;
drop table todos;
drop table todo_totals;
