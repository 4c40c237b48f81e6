//! Satchel: five HTTP APIs over one SQLite file. `ARCHITECTURE.md` is the map of these rooms.

pub mod api;
pub mod app;
pub mod budget;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod domain;
pub mod error;
mod files;
mod html;
pub mod http;
pub mod mail;
pub mod network;
pub mod scope;
pub mod telemetry;
pub mod text;
pub mod watch;
