//! todolist, `/health`: whether the server and its database are well.

use salvo::Writer;
use salvo::oapi::{ToSchema, endpoint};
use serde::Serialize;

use super::TAG_HEALTH;
use crate::app::App;
use crate::http::answer::{Done, Unavailable};

/// The state of the server and its database.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "status": "healthy", "version": "0.1.0", "environment": "development",
    "timestamp": "2026-11-21T05:06:39.560803Z",
    "database": { "status": "connected", "current_time": "2026-11-21T05:06:39.560803Z" },
})))]
pub struct HealthOut {
    /// `healthy`; `degraded` while the disk is full and new content is refused; `unhealthy` when the database cannot be
    /// read.
    status: &'static str,
    /// The version of the program that answers.
    version: &'static str,
    /// What the server is set up for: `development` or `production`.
    environment: &'static str,
    /// The server's clock when it was asked, in UTC.
    timestamp: String,
    database: DatabaseState,
}

/// The state of the server while the database cannot be read.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "status": "unhealthy", "version": "0.1.0", "environment": "development",
    "timestamp": "2026-11-21T05:06:39.560803Z", "database": { "status": "disconnected" },
})))]
pub struct HealthFailure {
    #[serde(flatten)]
    #[salvo(schema(inline))]
    health: HealthOut,
}

/// Whether the database can be read.
#[derive(Debug, Serialize, ToSchema)]
pub struct DatabaseState {
    /// `connected`, or `disconnected` when the file cannot be read.
    status: &'static str,
    /// The time at which the database answered, in UTC. Left out when it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    current_time: Option<String>,
}

/// See whether the server and its database are well
///
/// Opens the database file and reads it. The answer is 503 when that cannot be done.
#[endpoint(tags(TAG_HEALTH))]
pub async fn get_health(app: App) -> Result<Done<HealthOut>, Unavailable<HealthFailure>> {
    let timestamp = app.clock.now().utc();
    let asked = app.db.ping();
    let database = DatabaseState {
        status: if asked.is_ok() { "connected" } else { "disconnected" },
        current_time: asked.is_ok().then(|| app.clock.now().utc()),
    };
    let health = HealthOut {
        status: match asked {
            Ok(()) if app.db.is_full() => "degraded",
            Ok(()) => "healthy",
            Err(_) => "unhealthy",
        },
        version: env!("CARGO_PKG_VERSION"),
        environment: app.config.environment.word(),
        timestamp,
        database,
    };
    match asked {
        Ok(()) => Ok(Done(health)),
        Err(error) => {
            tracing::error!("the database cannot be read: {error}");
            Err(Unavailable(HealthFailure { health }))
        }
    }
}
