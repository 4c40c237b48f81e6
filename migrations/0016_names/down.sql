-- The key before was the username in lower case. Names stay in normal form C.
create temp table respelled as
  select id from users where username_key <> lower_case(username);

update users set username_key = '@' || id where id in (select id from respelled);
update users set username_key = lower_case(username) where id in (select id from respelled);

drop table respelled;
