//! The integration tests: one binary, a folder to each API.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod architecture;
mod binary;
mod bookshelf;
mod cli;
mod config;
mod contactbook;
mod contract;
mod crash;
mod disk_full;
mod document;
mod house;
mod identity;
mod letters;
mod mail;
mod migrations;
mod openapi;
mod origins;
mod readme;
mod restarts;
mod security;
mod storage;
mod store;
mod story;
mod todolist;
mod twice;
