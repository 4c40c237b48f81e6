drop table removals;
