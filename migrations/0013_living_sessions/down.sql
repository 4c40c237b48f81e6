drop index sessions_living;
