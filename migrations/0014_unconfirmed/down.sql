drop table unconfirmed;
