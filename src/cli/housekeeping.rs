//! Housekeeping: what a running server does by itself. Each kind has a task of its own, so that none waits for another.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::app::App;
use crate::db::Room;
use crate::domain::removal::{self, Purged};
use crate::domain::unconfirmed;
use crate::error::Result;

/// How often a changed keyring is looked for.
const KEYS_NOTICED_EVERY: Duration = Duration::from_secs(1);
/// How often is written down who was there.
const ACTIVITY_NOTED_EVERY: Duration = Duration::from_secs(5);
/// How often is looked for users who were deleted for good.
const REMOVALS_NOTICED_EVERY: Duration = Duration::from_secs(1);
/// How often worthless rows are removed.
const PURGE_EVERY: Duration = Duration::from_secs(3600);

/// Starts it. It ends when this is dropped, and is watched until then.
pub fn start(app: &App) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    spawn(&mut tasks, app, "the task that notices keys", notice_keys);
    spawn(&mut tasks, app, "the task that notes activity", note_activity);
    spawn(&mut tasks, app, "the task that purges", purge);
    tasks
}

fn spawn<F: Future<Output = ()> + Send + 'static>(
    tasks: &mut JoinSet<()>,
    app: &App,
    name: &'static str,
    task: fn(App) -> F,
) {
    let (watched, task) = (app.watch.over(name), task(app.clone()));
    tasks.spawn(async move {
        let _watched = watched;
        task.await;
    });
}

async fn notice_keys(app: App) {
    let mut ticks = every(KEYS_NOTICED_EVERY);
    loop {
        ticks.tick().await;
        log(app.notice_keys());
    }
}

async fn note_activity(app: App) {
    let mut ticks = every(ACTIVITY_NOTED_EVERY);
    loop {
        ticks.tick().await;
        log(app.auth.note_activity(&app.db).await);
    }
}

/// Removes what time has made worthless.
async fn purge(app: App) {
    let (mut hourly, mut removals) = (every(PURGE_EVERY), every(REMOVALS_NOTICED_EVERY));
    loop {
        tokio::select! {
            _ = hourly.tick() => {
                log(app.auth.purge(&app.db).await);
                log(purge_unconfirmed(&app).await);
                log(purge_users(&app).await);
                log(app.mail.purge().await);
            }
            _ = removals.tick() => log(purge_marked(&app).await),
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn log(done: Result<()>) {
    if let Err(error) = done {
        tracing::error!("housekeeping: {error}");
    }
}

/// Marks users who never confirmed the address, in bounded pieces, as deleted for good.
async fn purge_unconfirmed(app: &App) -> Result<()> {
    let Some(keep) = app.config.users.purge_unconfirmed_after() else { return Ok(()) };
    while app.db.write_in(Room::Reserve, move |db| unconfirmed::purge(db, keep)).await? {}
    Ok(())
}

/// Begins to remove users who were deleted for good.
async fn purge_marked(app: &App) -> Result<()> {
    if app.db.read(removal::is_due)? { purge_users(app).await } else { Ok(()) }
}

/// Removes users who were deleted for good, or long ago, in bounded pieces, and what the disk still has of them.
async fn purge_users(app: &App) -> Result<()> {
    let keep = app.config.users.purge_deleted_after();
    loop {
        let Purged { more, email } =
            app.db.write_in(Room::Reserve, move |db| removal::purge(db, keep)).await?;
        if let Some(email) = email {
            app.mail.forget(email).await?;
            app.db.cut_log();
        }
        if !more {
            return Ok(());
        }
    }
}
