//! Domain: what is true whatever the wire. Each noun has its file: who may, what counts, what is stored.

pub mod auth;
pub mod books;
pub mod emails;
pub mod users;
