-- Usernames are compared by another key: `fold` says which. Users whose names come to have one key all keep them. The oldest
-- of them has the key; of the others each has it with an @ and the number, which no username has.
create temp table respelled (id integer primary key, key text not null);
create index respelled_key on respelled (key, id);
insert into respelled select id, fold(username) from users where username_key <> fold(username);

update users set username_key = (select key from respelled r where r.id = users.id) || '@' || id
  where id in (select id from respelled);
-- Younger than one who comes to have the same key.
update users set username_key = username_key || '@' || id
  where username_key in (select key from respelled)
    and id > (select min(id) from respelled where key = username_key);
update users set username_key = (select key from respelled r where r.id = users.id)
  where id in (select min(id) from respelled group by key)
    and not exists (select 1 from users o where o.username_key = (select key from respelled r where r.id = users.id));

drop table respelled;

-- Names are kept in normal form C. One that would become too long, or another of the owner's contacts, stays as it is;
-- and so do the usernames that are told apart by their spelling alone.
update or ignore users set username = nfc(username)
  where username <> nfc(username)
    and not exists (select 1 from users o where o.id <> users.id and (o.username_key = fold(users.username)
                    or o.username_key > fold(users.username) || '@' and o.username_key < fold(users.username) || 'A'));
update or ignore users set display_name = nfc(display_name) where display_name <> nfc(display_name);
update or ignore users set first_name = nfc(first_name) where first_name <> nfc(first_name);
update or ignore users set last_name = nfc(last_name) where last_name <> nfc(last_name);
update or ignore users set full_name = nfc(full_name) where full_name <> nfc(full_name);
update or ignore contacts set fullname = nfc(fullname) where fullname <> nfc(fullname);
