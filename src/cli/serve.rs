//! `satchel serve`: opens everything, listens, says where, and stops when told to.

use std::io::{self, ErrorKind, IsTerminal};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

use crate::api;
use crate::app::App;
use crate::cli::{housekeeping, process};
use crate::clock::Clock;
use crate::config::{CommonPasswords, Config, Host, Transport};
use crate::db::DirLock;
use crate::domain::directory;
use crate::error::{Context, Error, Result};
use crate::http::connections::{self, Connections, Rules};

/// How long the letter in hand may take at the end, however short the settings are.
const LETTER_ENDS_AFTER: Duration = Duration::from_secs(1);

/// How often two loopback addresses are looked through for a port that is free on both.
const PORTS_TRIED: usize = 16;

/// Runs the server until SIGTERM or Ctrl-C, or until the terminal hangs up. `repeated` are the flags with which another
/// command finds the same data.
///
/// # Errors
/// A fault of one sentence when something that it needs cannot be had.
pub fn run(mut config: Config, repeated: &str) -> Result<()> {
    process::raise_open_files(&mut config);
    let runtime = Builder::new_multi_thread()
        .worker_threads(config.server.workers())
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .context("starting the runtime")?;
    runtime.block_on(async {
        let stop = stop_signal()?;
        let server = Server::start(config, Clock::system()).await?;
        warn_of_development(&server.app.config);
        if let Err(error) = server.announce(repeated) {
            tracing::warn!("{error}");
        }
        server.run_until(stop).await
    })
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Its state.
    pub app: App,
    /// Where it listens; for `localhost` the IPv4 address.
    pub address: SocketAddr,
    connections: Connections,
    serving: JoinHandle<()>,
    housekeeping: JoinSet<()>,
    mailing: JoinHandle<()>,
}

impl Server {
    /// Opens the data directory and listens.
    ///
    /// # Errors
    /// A fault of one sentence: the directory, the database, a key or the port cannot be had.
    pub async fn start(mut config: Config, clock: Clock) -> Result<Self> {
        let listeners = listen(&config).await?;
        for listener in &listeners {
            connections::prepare(listener)?;
        }
        let address = listeners[0].local_addr().map_err(anyhow::Error::from)?;
        config.server.port = address.port();
        let app = App::open(config, clock)?;
        let connections = Connections::new(Rules::of(&app.config.server));
        let (open, service, finish) = (connections.clone(), api::service(&app), app.config.server.shutdown());
        let watched = app.watch.over("the task that serves");
        let serving = tokio::spawn(async move {
            let _watched = watched;
            open.serve(listeners, service, finish).await;
        });
        let housekeeping = housekeeping::start(&app);
        let (mail, watched) = (app.mail.clone(), app.watch.over("the task that sends letters"));
        let mailing = tokio::spawn(async move {
            let _watched = watched;
            mail.work().await;
        });
        Ok(Self { app, address, connections, serving, housekeeping, mailing })
    }

    /// Says on stdout where it listens and what there is.
    fn announce(&self, repeated: &str) -> Result<()> {
        let config = &self.app.config;
        let url = config.local_url();
        let mut lines = vec![format!("Satchel {} listens on {url}", env!("CARGO_PKG_VERSION"))];
        if config.server.host.is_unspecified() {
            lines.push(String::from("  also  every other address of this machine"));
        }
        if config.server.docs {
            lines.push(format!("  docs  {url}/scalar"));
        }
        lines.push(format!("  data  {}", config.server.data.display()));
        if self.app.db.read(directory::admins)?.is_empty() {
            lines.push(format!(
                "  There is no administrator yet: satchel admin create --email you@example.org{repeated}"
            ));
        }
        crate::cli::say(lines.join("\n"))
    }

    /// Runs until `stop`, or until something has ended that the server cannot do without; then it stops.
    ///
    /// # Errors
    /// Those of [`Server::stop`]; a fault that names what has ended.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<()> {
        let ended = tokio::select! {
            () = stop => None,
            ended = self.app.watch.ended() => Some(ended),
        };
        let Some(ended) = ended else { return self.stop().await };
        let fault = Error::fault(format!("{ended} has ended, and the server cannot go on without it"));
        tracing::error!("{fault}");
        if let Err(error) = self.stop().await {
            tracing::error!("{error}");
        }
        Err(fault)
    }

    /// Stops accepting, finishes what is in flight, letters among it, writes what is queued, and closes the database.
    ///
    /// # Errors
    /// A fault when the last writes could not be brought to the disk.
    pub async fn stop(mut self) -> Result<()> {
        tracing::info!("stopping");
        let deadline = Instant::now() + self.app.config.server.shutdown().max(LETTER_ENDS_AFTER);
        self.app.mail.stop();
        self.connections.close();
        self.housekeeping.abort_all();
        if let Err(error) = self.serving.await {
            tracing::error!("serving ended: {error}");
        }
        if timeout_at(deadline, &mut self.mailing).await.is_err() {
            self.mailing.abort();
            tracing::warn!("a letter was not handed over in time: it is tried again");
        }
        if let Err(error) = self.app.auth.note_activity(&self.app.db).await {
            tracing::warn!("the last minute's activity is not written down: {error}");
        }
        let db = self.app.db.clone();
        tokio::task::spawn_blocking(move || db.close()).await.map_err(anyhow::Error::from)??;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Says what strangers find open when they can reach a server that nobody has told what it is for.
fn warn_of_development(config: &Config) {
    let host = config.server.host;
    if host.is_loopback() || config.source("environment").is_some() {
        return;
    }
    let passwords = match config.common_passwords() {
        CommonPasswords::Allow => "common passwords are taken, ",
        CommonPasswords::Refuse => "",
    };
    let letters = match config.mail.transport {
        Transport::File => "letters become files and their links lines of this log, ",
        Transport::Smtp | Transport::Off => "",
    };
    tracing::warn!(
        "{host} is beyond this machine, and `environment` is not set, so this is development: {passwords}\
         sign-ups and sign-ins from private addresses have no limit, {letters}\
         and pages of any program on a visitor's own machine may call; set environment = \"production\", or \
         \"development\" if all that is meant"
    );
}

/// Listens where the settings say.
async fn listen(config: &Config) -> Result<Vec<TcpListener>> {
    let port = config.server.port;
    let bind = async |address: SocketAddr| {
        TcpListener::bind(address).await.map_err(|error| (error.kind(), not_bound(config, address, &error)))
    };
    if let Host::Address(ip) = config.server.host {
        return Ok(vec![bind(SocketAddr::new(ip, port)).await.map_err(|(_, fault)| fault)?]);
    }
    let mut tried = 0;
    loop {
        let four = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.map_err(|(_, fault)| fault)?;
        let same = four.local_addr().map_err(anyhow::Error::from)?.port();
        tried += 1;
        match bind(SocketAddr::from((Ipv6Addr::LOCALHOST, same))).await {
            Ok(six) => return Ok(vec![four, six]),
            // A port that was free on one only.
            Err((ErrorKind::AddrInUse, _)) if port == 0 && tried < PORTS_TRIED => {}
            Err((ErrorKind::AddrInUse | ErrorKind::PermissionDenied, fault)) => return Err(fault),
            // This machine has no IPv6.
            Err(_) => return Ok(vec![four]),
        }
    }
}

/// Why the port cannot be had. When the same directory is served already, that is the reason, and its words say
/// by whom.
fn not_bound(config: &Config, wanted: SocketAddr, error: &std::io::Error) -> Error {
    let data = &config.server.data;
    if DirLock::held(data)
        && let Err(held) = DirLock::acquire(data, DirLock::SERVER)
    {
        return held;
    }
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => ": choose another port with --port",
        ErrorKind::PermissionDenied => ": choose a port from 1024 on with --port",
        _ => "",
    };
    Error::fault(format!("cannot listen on {wanted}: {}{remedy}", crate::cli::reason(error)))
}

/// Resolves at SIGTERM or Ctrl-C, or when the terminal that this was started from hangs up.
fn stop_signal() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(anyhow::Error::from).context("listening for signals");
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hang_up = if process::ignores_hang_up() { None } else { Some(listen(SignalKind::hangup())?) };
    // Once it has hung up it is none any more.
    let has_terminal = io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal();
    let hung_up = async move {
        let Some(hang_up) = &mut hang_up else { return std::future::pending().await };
        while hang_up.recv().await.is_some() {
            if has_terminal {
                return;
            }
            tracing::info!(
                "SIGHUP is ignored: changed keys are noticed without it, changed settings are read at the next start"
            );
        }
        std::future::pending().await
    };
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = hung_up => {}
        }
    })
}
