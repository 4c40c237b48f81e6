drop table proofs;
drop table familiar_addresses;
drop table sign_in_failures;
drop table sessions;
