drop index users_activity;
drop index users_balance;
drop index users_deleted_id;
drop index users_deleted_email;
alter table sessions drop column keeps_refresh;
