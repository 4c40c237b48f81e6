//! Telemetry: the log. Lines go to stderr through a buffer, so that no request waits for a terminal or a pipe.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::{Clock, Timestamp};
use crate::config::{Log, LogFormat};
use crate::error::{Context, Error, Result};

/// How long a line waits for company before it is written.
const PAUSE: Duration = Duration::from_millis(20);
/// How many bytes may lie there before they are written without a pause.
const FULL: usize = 64 * 1024;
/// How many bytes may lie there at all: over it lines are dropped and counted.
const MOST: usize = 1024 * 1024;
/// How long `flush` waits for a stderr that does not take anything.
const PATIENCE: Duration = Duration::from_secs(1);

static STDERR: OnceLock<Arc<Buffer>> = OnceLock::new();

/// Starts the log. Times are in UTC with microseconds, one entry is one line, and colours are for a terminal.
/// A panic becomes an entry as well. It can be done once in a process.
pub fn init(log: &Log) -> Result<()> {
    let colours = log.format == LogFormat::Pretty
        && io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let buffer = Arc::new(Buffer::default());
    buffer.start(Box::new(io::stderr())).context("starting the thread that writes the log")?;
    let lines = Lines { buffer: Arc::clone(&buffer), colours };

    let filter = filter(log)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines).with_ansi(false);
    let started = match log.format {
        LogFormat::Pretty => builder.event_format(Pretty).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).try_init(),
    };
    started.map_err(|_| Error::fault("the log was started before"))?;
    let _ = STDERR.set(buffer);
    log_panics();
    Ok(())
}

/// Waits until everything logged so far is written, a second at most.
pub fn flush() {
    if let Some(buffer) = STDERR.get() {
        buffer.flush(PATIENCE);
    }
}

/// The text without anything that could end its line or steer a terminal: such characters become escapes,
/// which JSON reads, too.
pub fn one_line(text: &str) -> String {
    let mut line = Vec::with_capacity(text.len());
    neutralise(text.as_bytes(), &mut line);
    String::from_utf8_lossy(&line).into_owned()
}

fn filter(log: &Log) -> Result<EnvFilter> {
    let level = match log.level.trim() {
        // Of what others wrote, only what somebody should look at.
        level if level.eq_ignore_ascii_case("info") => "warn,satchel=info,access=info",
        level => level,
    };
    let filter = EnvFilter::builder().parse(level).map_err(|error| Error::fault(error.to_string()))?;
    if log.access {
        return Ok(filter);
    }
    let off = "access=off".parse().map_err(|_| Error::fault("the access log cannot be turned off"))?;
    Ok(filter.add_directive(off))
}

fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(panic.at = at, panic.message = message, "panicked");
        // A panic of the main thread ends the process without another word.
        if thread::current().name() == Some("main") {
            flush();
        }
    }));
}

/// Writes an entry as `<time> <level> <target>: <message> <name>=<value> …`. The formatter that comes with
/// tracing-subscriber writes the same at five times the cost, most of it for colours that are off.
struct Pretty;

impl<S, N> FormatEvent<S, N> for Pretty
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        write_time(&mut writer)?;
        writer.write_str(match *metadata.level() {
            Level::ERROR => " ERROR ",
            Level::WARN => "  WARN ",
            Level::INFO => "  INFO ",
            Level::DEBUG => " DEBUG ",
            Level::TRACE => " TRACE ",
        })?;
        writer.write_str(metadata.target())?;
        writer.write_char(':')?;
        let mut values = Values { writer: &mut writer, outcome: Ok(()) };
        event.record(&mut values);
        values.outcome?;
        writer.write_char('\n')
    }
}

/// The present time, in UTC with microseconds. What the second looks like is remembered for its duration.
fn write_time(writer: &mut Writer<'_>) -> fmt::Result {
    thread_local! {
        static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    let now = Clock::system().now();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != now.seconds() {
            *second = now.seconds();
            *text = Timestamp::from_seconds(now.seconds()).utc();
            text.truncate("2026-11-21T05:06:39.".len());
        }
        writer.write_str(text)
    })?;
    write!(writer, "{:06}Z", now.micros().rem_euclid(1_000_000))
}

/// Writes the values of an entry one after the other.
struct Values<'a, 'w> {
    writer: &'a mut Writer<'w>,
    outcome: fmt::Result,
}

impl Values<'_, '_> {
    fn write(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        self.outcome = self.outcome.and_then(|()| {
            self.writer.write_char(' ')?;
            if field.name() != "message" {
                self.writer.write_str(field.name())?;
                self.writer.write_char('=')?;
            }
            value(self.writer)
        });
    }
}

impl Visit for Values<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let is_plain = is_plain(value.as_bytes()) && !value.contains(['"', '\\']);
        self.write(field, |writer| {
            if !is_plain {
                return write!(writer, "{value:?}");
            }
            writer.write_char('"')?;
            writer.write_str(value)?;
            writer.write_char('"')
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, |writer| write!(writer, "{value:?}"));
    }
}

/// Bytes on their way to a sink, which one thread writes.
#[derive(Default)]
struct Buffer {
    state: Mutex<State>,
    /// Wakes the writing thread.
    filled: Condvar,
    /// Wakes whoever flushes.
    written: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    dropped: u64,
    /// Whether somebody wants the bytes written now.
    urgent: bool,
    /// Whether the thread is writing bytes that it took.
    writing: bool,
}

impl Buffer {
    /// Starts the thread that writes to `sink`; it ends with the process.
    fn start(self: &Arc<Self>, mut sink: Box<dyn Write + Send>) -> Result<()> {
        let buffer = Arc::clone(self);
        let thread = thread::Builder::new().name(String::from("log")).spawn(move || {
            let mut taken = Vec::new();
            loop {
                let dropped = buffer.take(&mut taken);
                // There is nobody left to tell when stderr fails.
                let _ = sink.write_all(&taken).and_then(|()| sink.flush());
                taken.clear();
                if dropped > 0 {
                    tracing::warn!("{dropped} log lines dropped: stderr did not take them");
                }
                buffer.lock().writing = false;
                buffer.written.notify_all();
            }
        });
        thread.map(drop).map_err(|error| Error::Fault(error.into()))
    }

    /// Waits for bytes, then for a pause or for enough of them, and takes them. Returns how many lines are missing
    /// after them.
    fn take(&self, taken: &mut Vec<u8>) -> u64 {
        let state = self.lock();
        let state = self.filled.wait_while(state, |state| state.bytes.is_empty() && state.dropped == 0);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        let calm = |state: &mut State| !state.urgent && state.bytes.len() < FULL;
        let waited = self.filled.wait_timeout_while(state, PAUSE, calm);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut state.bytes, taken);
        state.urgent = false;
        state.writing = true;
        std::mem::take(&mut state.dropped)
    }

    fn push(&self, line: &[u8], urgent: bool) {
        let mut state = self.lock();
        let before = state.bytes.len();
        if before + line.len() > MOST {
            state.dropped += 1;
            return;
        }
        state.bytes.extend_from_slice(line);
        state.urgent |= urgent;
        let wake = before == 0 || urgent || (before < FULL && state.bytes.len() >= FULL);
        drop(state);
        if wake {
            self.filled.notify_one();
        }
    }

    fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        while !state.bytes.is_empty() || state.writing || state.dropped > 0 {
            state.urgent = true;
            self.filled.notify_one();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.written.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes each entry one line of the buffer.
struct Lines {
    buffer: Arc<Buffer>,
    colours: bool,
}

/// Takes one entry, which the formatter hands over as a whole.
struct Line<'a> {
    lines: &'a Lines,
    level: Level,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, level: Level::INFO }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        Line { lines: self, level: *meta.level() }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        let urgent = self.level <= Level::WARN;
        let text = entry.strip_suffix(b"\n").unwrap_or(entry);
        if is_plain(text) && !self.lines.colours {
            self.lines.buffer.push(entry, urgent);
            return Ok(entry.len());
        }
        let mut line = Vec::with_capacity(entry.len() + 32);
        neutralise(text, &mut line);
        if self.lines.colours {
            colour(&mut line, self.level);
        }
        line.push(b'\n');
        self.lines.buffer.push(&line, urgent);
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| (0x20..0x7f).contains(byte))
}

/// Writes control characters, line separators and marks that turn the direction of writing as escapes.
fn neutralise(text: &[u8], line: &mut Vec<u8>) {
    if is_plain(text) {
        line.extend_from_slice(text);
        return;
    }
    for c in String::from_utf8_lossy(text).chars() {
        match c {
            '\n' => line.extend_from_slice(b"\\n"),
            '\r' => line.extend_from_slice(b"\\r"),
            '\t' => line.extend_from_slice(b"\\t"),
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                line.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            }
            c if c.is_control() => line.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
            c => line.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Dims the time and colours the level of a line that begins with both (ECMA-48 §8.3.117).
fn colour(line: &mut Vec<u8>, level: Level) {
    const LEVEL_LEN: usize = 5;
    let Some(time) = line.iter().position(|byte| *byte == b' ') else { return };
    let end = time + 1 + LEVEL_LEN;
    if end > line.len() {
        return;
    }
    let hue = match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        _ => 35,
    };
    line.splice(end..end, *b"\x1b[0m");
    line.splice(time..=time, format!("\x1b[0m \x1b[{hue}m").into_bytes());
    line.splice(0..0, *b"\x1b[2m");
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// What `log` writes through the formatter of `format`.
    fn written(format: LogFormat, colours: bool, log: impl FnOnce()) -> String {
        let buffer = Arc::new(Buffer::default());
        let lines = Lines { buffer: Arc::clone(&buffer), colours };
        let builder = tracing_subscriber::fmt().with_writer(lines).with_ansi(false);
        match format {
            LogFormat::Pretty => {
                tracing::subscriber::with_default(builder.event_format(Pretty).finish(), log);
            }
            LogFormat::Json => {
                tracing::subscriber::with_default(builder.json().flatten_event(true).finish(), log);
            }
        }
        let bytes = std::mem::take(&mut buffer.lock().bytes);
        String::from_utf8(bytes).unwrap()
    }

    const NASTY: &str =
        "a\n2026-01-01T00:00:00.000000Z ERROR forged\r\x1b[2J\u{7f}\u{85}\u{2028}\u{202e}\0 é";

    fn log_nasty() {
        tracing::info!(user.name = NASTY, shown = %NASTY, debugged = ?NASTY, "message {NASTY}");
    }

    #[test]
    fn a_pretty_entry_is_one_line_without_control_characters() {
        let line = written(LogFormat::Pretty, false, log_nasty);
        let text = line.strip_suffix('\n').unwrap();
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert!(!text.contains(['\u{2028}', '\u{202e}']), "{text:?}");
        assert!(text.contains("message a\\n2026-01-01T"), "{text}");
        assert!(text.contains('é'), "{text}");
    }

    #[test]
    fn a_json_entry_is_one_line_that_json_reads() {
        let line = written(LogFormat::Json, false, log_nasty);
        let text = line.strip_suffix('\n').unwrap();
        assert!(!text.chars().any(char::is_control), "{text:?}");
        let entry: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(entry["user.name"], NASTY);
        assert_eq!(entry["level"], "INFO");
    }

    #[test]
    fn times_are_in_utc_with_microseconds() {
        let line =
            written(LogFormat::Pretty, false, || tracing::info!(target: "access", status = 200, "GET"));
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.len() == 27 && time.ends_with('Z') && time.as_bytes()[19] == b'.', "{time}");
        assert_eq!(rest, " INFO access: GET status=200\n");
    }

    #[test]
    fn colours_are_around_the_time_and_the_level_only() {
        let line = written(LogFormat::Pretty, true, || tracing::warn!("\x1b[31mred"));
        assert!(line.starts_with("\x1b[2m20"), "{line:?}");
        assert!(line.contains("Z\x1b[0m \x1b[33m WARN\x1b[0m satchel"), "{line:?}");
        assert_eq!(line.matches('\x1b').count(), 4, "{line:?}");
    }

    #[test]
    fn the_filter_takes_directives_and_turns_access_lines_off() {
        let check = |level: &str, access: bool, expected: &str| {
            let log = Log { level: String::from(level), access, ..Log::default() };
            assert_eq!(filter(&log).unwrap().to_string(), expected);
        };
        check("info", true, "satchel=info,access=info,warn");
        check("info", false, "satchel=info,access=off,warn");
        check("debug", false, "access=off,debug");
        check("warn,satchel::db=debug", true, "satchel::db=debug,warn");
    }

    /// A sink that says what it was given, and then takes nothing until it is told to.
    struct Gate {
        open: mpsc::Receiver<()>,
        got: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.got.send(bytes.to_vec());
            let _ = self.open.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_wait_for_company_and_flush_waits_for_the_lines() {
        let (open, gate) = mpsc::channel();
        let (got, sink) = mpsc::channel();
        let buffer = Arc::new(Buffer::default());
        buffer.start(Box::new(Gate { open: gate, got })).unwrap();
        for _ in 0..3 {
            open.send(()).unwrap();
        }
        buffer.push(b"one\n", false);
        buffer.push(b"two\n", true);
        buffer.flush(Duration::from_secs(60));
        assert_eq!(sink.try_iter().flatten().collect::<Vec<_>>(), b"one\ntwo\n");
    }

    #[test]
    fn a_blocked_stderr_drops_lines_and_counts_them() {
        let (open, gate) = mpsc::channel();
        let (got, sink) = mpsc::channel();
        let buffer = Arc::new(Buffer::default());
        buffer.start(Box::new(Gate { open: gate, got })).unwrap();
        let line = [b'x'; 1024];
        buffer.push(&line, true);
        assert_eq!(sink.recv().unwrap(), line);

        let fit = MOST / line.len();
        for _ in 0..fit + 7 {
            buffer.push(&line, false);
        }
        assert_eq!(buffer.lock().dropped, 7);
        drop(open);
        buffer.flush(Duration::from_secs(60));
        assert_eq!(sink.try_iter().map(|bytes| bytes.len()).sum::<usize>(), MOST);
        assert_eq!(buffer.lock().dropped, 0);
    }
}
