//! The command line: the real binary, what it does, what it says, and how it ends.

mod files;
mod housekeeping;
mod keys;
mod letters;
mod owners;
mod people;
mod refused;
mod restores;
mod schema;
mod serve;
mod words;
