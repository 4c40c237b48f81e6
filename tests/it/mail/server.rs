//! A mail server on loopback: real sockets, real TLS (RFC 5321, 3207, 4954), and replies as the test wants them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use satchel::config::{Config, SmtpTls, Transport};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::letters::Letter;

pub const USER: &str = "satchel";
pub const PASSWORD: &str = "mail pass: \u{e9}\"'";

/// A letter as the server took it.
#[derive(Clone, Debug)]
pub struct Taken {
    pub from: String,
    pub to: Vec<String>,
    pub letter: Letter,
    /// Whether it came through TLS.
    pub secure: bool,
    /// Who had signed in.
    pub user: Option<String>,
}

/// A place for a mail server, with its port, its certificate and who vouches for that. It begins to serve when
/// it is opened; before, connections are refused.
pub struct MailServer {
    pub port: u16,
    tls: SmtpTls,
    dir: TempDir,
    socket: Mutex<Option<TcpSocket>>,
    state: Arc<State>,
}

struct State {
    acceptor: TlsAcceptor,
    tls: SmtpTls,
    demands_sign_in: bool,
    taken: Mutex<Vec<Taken>>,
    /// What is said instead of the usual, once each: the verb and the reply.
    instead: Mutex<Vec<(&'static str, String)>>,
    /// Whoever has sent a letter waits for one of these before the answer.
    answers: Semaphore,
    /// Every letter whose text came adds one.
    received: Semaphore,
    /// Every line that a client said, tokens and passwords included.
    said: Mutex<Vec<String>>,
}

impl MailServer {
    /// A server that is open.
    pub fn new(tls: SmtpTls) -> Self {
        let server = Self::closed(tls, false, "127.0.0.1");
        server.open();
        server
    }

    /// A server that takes letters only from whoever signs in.
    pub fn with_accounts(tls: SmtpTls) -> Self {
        let server = Self::closed(tls, true, "127.0.0.1");
        server.open();
        server
    }

    /// A server that is not open yet and calls itself `name` in its certificate.
    pub fn closed(tls: SmtpTls, demands_sign_in: bool, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let config = ServerConfig::builder_with_provider(
            tokio_rustls::rustls::crypto::ring::default_provider().into(),
        )
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let port = socket.local_addr().unwrap().port();
        let state = State {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            tls,
            demands_sign_in,
            taken: Mutex::default(),
            instead: Mutex::default(),
            answers: Semaphore::new(Semaphore::MAX_PERMITS),
            received: Semaphore::new(0),
            said: Mutex::default(),
        };
        Self { port, tls, dir, socket: Mutex::new(Some(socket)), state: Arc::new(state) }
    }

    /// Begins to serve.
    pub fn open(&self) {
        let listener = self.socket.lock().unwrap().take().unwrap().listen(64).unwrap();
        let state = self.state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = state.clone();
                tokio::spawn(async move { state.serve(stream).await });
            }
        });
    }

    /// The certificate of who vouches for the server's.
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Has a house send its letters here.
    pub fn settle(&self, config: &mut Config) {
        config.mail.transport = Transport::Smtp;
        config.mail.smtp_host = String::from("127.0.0.1");
        config.mail.smtp_port = self.port;
        config.mail.smtp_tls = self.tls;
        config.mail.from = String::from("Satchel <post@satchel.example>");
        if self.tls != SmtpTls::None {
            config.mail.smtp_ca_file = self.authority();
        }
        if self.state.demands_sign_in {
            config.mail.smtp_user = String::from(USER);
            config.mail.smtp_password = serde_json::from_value(serde_json::Value::from(PASSWORD)).unwrap();
        }
    }

    /// Says this instead of the usual at the next `verb`; `.` is the end of a letter's text.
    pub fn answer_once(&self, verb: &'static str, reply: &str) {
        self.state.instead.lock().unwrap().push((verb, reply.to_owned()));
    }

    /// Gives no more answers to letters until `release`.
    pub fn hold(&self) {
        self.state.answers.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Answers one letter.
    pub fn release(&self) {
        self.state.answers.add_permits(1);
    }

    /// Waits until the text of another letter has come.
    pub async fn received(&self) {
        let one = self.state.received.acquire();
        tokio::time::timeout(crate::binary::PATIENCE, one).await.expect("a letter comes").unwrap().forget();
    }

    /// The letters that it took.
    pub fn taken(&self) -> Vec<Taken> {
        self.state.taken.lock().unwrap().clone()
    }

    /// Every line that clients said, but for the letters.
    pub fn said(&self) -> Vec<String> {
        self.state.said.lock().unwrap().clone()
    }
}

/// A conversation's stream, before TLS or in it.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl State {
    async fn serve(&self, stream: TcpStream) {
        let (mut stream, mut secure): (BufReader<Box<dyn Stream>>, bool) = match self.tls {
            SmtpTls::Tls => match self.acceptor.accept(stream).await {
                Ok(stream) => (BufReader::new(Box::new(stream)), true),
                Err(_) => return,
            },
            SmtpTls::Starttls | SmtpTls::None => (BufReader::new(Box::new(stream)), false),
        };
        let (mut from, mut to, mut user) = (String::new(), Vec::new(), None);
        self.say(&mut stream, "CONNECT", "220 mx.example ESMTP").await;
        loop {
            let Some(line) = hear(&mut stream).await else { return };
            self.said.lock().unwrap().push(line.clone());
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let verb = verb.to_ascii_uppercase();
            let shut = self.demands_sign_in && user.is_none();
            match verb.as_str() {
                "EHLO" => {
                    let mut words = vec!["mx.example", "8BITMIME", "SMTPUTF8"];
                    if self.tls == SmtpTls::Starttls && !secure {
                        words.push("STARTTLS");
                    } else if self.demands_sign_in {
                        words.push("AUTH PLAIN LOGIN");
                    }
                    let (last, others) = words.split_last().unwrap();
                    let mut reply: String = others.iter().map(|word| format!("250-{word}\r\n")).collect();
                    reply.push_str(&format!("250 {last}"));
                    self.say(&mut stream, "EHLO", &reply).await;
                }
                "STARTTLS" if self.tls == SmtpTls::Starttls && !secure => {
                    if !self.say(&mut stream, "STARTTLS", "220 go on").await {
                        continue;
                    }
                    match self.acceptor.accept(stream.into_inner()).await {
                        Ok(inner) => stream = BufReader::new(Box::new(inner)),
                        Err(_) => return,
                    }
                    secure = true;
                }
                "AUTH" if self.demands_sign_in => {
                    let sent = rest.strip_prefix("PLAIN ").and_then(|sent| STANDARD.decode(sent).ok());
                    if sent == Some(format!("\0{USER}\0{PASSWORD}").into_bytes()) {
                        user = Some(String::from(USER));
                        self.say(&mut stream, "AUTH", "235 2.7.0 welcome").await;
                    } else {
                        self.say(&mut stream, "AUTH", "535 5.7.8 wrong name or password").await;
                    }
                }
                "MAIL" if !shut => {
                    from = path(rest);
                    to.clear();
                    self.say(&mut stream, "MAIL", "250 2.1.0 ok").await;
                }
                "RCPT" if !shut && !from.is_empty() => {
                    if self.say(&mut stream, "RCPT", "250 2.1.5 ok").await {
                        to.push(path(rest));
                    }
                }
                "DATA" if !to.is_empty() => {
                    if !self.say(&mut stream, "DATA", "354 go on").await {
                        continue;
                    }
                    let mut text = String::new();
                    loop {
                        let Some(line) = hear(&mut stream).await else { return };
                        if line == "." {
                            break;
                        }
                        text.push_str(line.strip_prefix('.').unwrap_or(&line));
                        text.push_str("\r\n");
                    }
                    self.received.add_permits(1);
                    self.answers.acquire().await.unwrap().forget();
                    let letter = Letter::read(&text);
                    let said = self.taken_reply(&letter);
                    if said.starts_with('2') {
                        let taken =
                            Taken { from: from.clone(), to: to.clone(), letter, secure, user: user.clone() };
                        self.taken.lock().unwrap().push(taken);
                    }
                    write(&mut stream, &said).await;
                }
                "QUIT" => {
                    self.say(&mut stream, "QUIT", "221 bye").await;
                    return;
                }
                "RSET" | "NOOP" => drop(self.say(&mut stream, "RSET", "250 ok").await),
                _ => drop(self.say(&mut stream, "", "503 5.5.1 not now").await),
            }
        }
    }

    /// The answer to a letter. `{link}` in a scripted one is the letter's, as filters quote it.
    fn taken_reply(&self, letter: &Letter) -> String {
        self.scripted(".").unwrap_or_else(|| String::from("250 2.0.0 taken")).replace("{link}", &letter.link)
    }

    fn scripted(&self, verb: &str) -> Option<String> {
        let mut instead = self.instead.lock().unwrap();
        let at = instead.iter().position(|(scripted, _)| *scripted == verb)?;
        Some(instead.remove(at).1)
    }

    /// Says the usual, or what the test wants said; whether it was the usual.
    async fn say(&self, stream: &mut BufReader<Box<dyn Stream>>, verb: &str, usual: &str) -> bool {
        let scripted = self.scripted(verb);
        write(stream, scripted.as_deref().unwrap_or(usual)).await;
        scripted.is_none()
    }
}

async fn write(stream: &mut BufReader<Box<dyn Stream>>, reply: &str) {
    // A client that has gone hears nothing.
    let _ = stream.write_all(format!("{reply}\r\n").as_bytes()).await;
    let _ = stream.flush().await;
}

/// The next line, without its end.
async fn hear(stream: &mut BufReader<Box<dyn Stream>>) -> Option<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await.ok().filter(|read| *read > 0)?;
    let line = String::from_utf8(line).unwrap();
    Some(line.strip_suffix("\r\n")?.to_owned())
}

/// What stands in the brackets of `FROM:<…>`.
fn path(rest: &str) -> String {
    let inner = rest.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map(|(path, _)| path.to_owned()).unwrap_or_default()
}
