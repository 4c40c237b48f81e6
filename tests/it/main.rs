//! The integration tests: one binary, a folder to each API.

mod config;
mod migrations;
mod storage;
