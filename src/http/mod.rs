//! HTTP: everything that knows HTTP and no API.

pub mod answer;
pub mod body;
pub mod connections;
pub mod docs;
mod encoding;
pub mod extract;
pub mod forms;
mod forwarded;
pub mod hoops;
pub mod input;
mod json;
pub mod large;
pub mod limits;
pub mod origins;
pub mod pages;
pub mod resource;
pub mod rules;
mod shown;
pub mod validate;
mod values;
