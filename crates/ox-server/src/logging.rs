//! Log lines as Java's console appender prints them:
//! `2026-01-31 12:00:00,123 [myid:] - INFO  [main:ox_server.core@42] - message key=value`.
//!
//! Invariant: one event is one line. Text that came from a client cannot start another one, because
//! control characters are printed as escapes. Source: operations.md 9.1.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::Sources;

/// Prints log lines on stdout from here on, at the level that `sources` and the environment name.
///
/// `RUST_LOG` is asked first, then `-Dzookeeper.root.logger` and `ZOO_LOG4J_PROP`, whose first word
/// is a level of log4j (`INFO,CONSOLE`). Without any of them it is INFO.
pub fn init(sources: &Sources) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        let log4j = sources
            .flag("zookeeper.root.logger")
            .or_else(|| std::env::var("ZOO_LOG4J_PROP").ok())
            .unwrap_or_default();
        EnvFilter::new(log4j_level(&log4j))
    });
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .fmt_fields(Fields)
        .event_format(JavaLine)
        .finish();
    // A second call keeps the first subscriber: tests start several servers in one process.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// The first word of `INFO,CONSOLE` as a level of `tracing`.
fn log4j_level(text: &str) -> &'static str {
    match text
        .split(',')
        .next()
        .unwrap_or("")
        .trim()
        .to_ascii_uppercase()
        .as_str()
    {
        "ALL" | "TRACE" => "trace",
        "DEBUG" => "debug",
        "WARN" => "warn",
        "ERROR" | "FATAL" => "error",
        "OFF" => "off",
        _ => "info",
    }
}

/// The line's layout.
struct JavaLine;

impl<S, N> FormatEvent<S, N> for JavaLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let now = chrono::Local::now().format("%Y-%m-%d %H:%M:%S,%3f");
        let thread = std::thread::current();
        write!(
            writer,
            "{now} [myid:] - {} [{}:{}@{}] - ",
            level(*metadata.level()),
            thread.name().unwrap_or("thread"),
            metadata.target().replace("::", "."),
            metadata.line().unwrap_or(0),
        )?;
        context.format_fields(writer.by_ref(), event)?;
        for span in context
            .event_scope()
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                write!(writer, " {}{{{fields}}}", span.name())?;
            }
        }
        writeln!(writer)
    }
}

/// The level, padded to five characters.
fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN ",
        Level::INFO => "INFO ",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

/// The message as it is, then ` key=value` for each field.
struct Fields;

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: tracing_subscriber::field::RecordFields>(
        &self,
        writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        let mut printer = Printer {
            writer,
            empty: true,
            result: Ok(()),
        };
        fields.record(&mut printer);
        printer.result
    }
}

struct Printer<'writer> {
    writer: Writer<'writer>,
    empty: bool,
    result: fmt::Result,
}

impl Printer<'_> {
    fn print(&mut self, field: &Field, value: fmt::Arguments<'_>) -> fmt::Result {
        if !self.empty {
            self.writer.write_char(' ')?;
        }
        self.empty = false;
        if field.name() != "message" {
            write!(self.writer, "{}=", field.name())?;
        }
        OneLine(&mut self.writer).write_fmt(value)
    }
}

impl Visit for Printer<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.result = self
            .result
            .and_then(|()| self.print(field, format_args!("{value:?}")));
    }
}

/// Passes text on with its control characters escaped.
struct OneLine<'a, 'writer>(&'a mut Writer<'writer>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c.is_control() && c != '\t') {
            let (plain, tail) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut characters = tail.chars();
            if let Some(control) = characters.next() {
                write!(self.0, "{}", control.escape_default())?;
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `events` log, each line without its time, and with `N` for the line number.
    fn logged(events: impl FnOnce() + Send) -> Vec<String> {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_max_level(Level::TRACE)
            .with_ansi(false)
            .fmt_fields(Fields)
            .event_format(JavaLine)
            .finish();
        std::thread::scope(|scope| {
            let run = || tracing::subscriber::with_default(subscriber, events);
            std::thread::Builder::new()
                .name("main".into())
                .spawn_scoped(scope, run)
                .unwrap();
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| {
                let (time, rest) = line.split_at("2026-01-31 12:00:00,123".len());
                chrono::NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S,%3f").unwrap();
                let (before, after) = rest.split_once('@').unwrap();
                let number = after.find(']').unwrap();
                assert!(after[..number].parse::<u32>().unwrap() > 0, "{line}");
                format!("{before}@N{}", &after[number..])
            })
            .collect()
    }

    #[test]
    fn a_line_has_the_layout_that_patterns_for_java_expect() {
        let lines = logged(|| {
            tracing::info!(zxid = "0x1", path = ?"/a b", "Snapshotting: {} to {}", "0x1", "f");
            tracing::error!(count = 3, "no");
            tracing::warn!("w");
        });
        let place = "[main:ox_server.logging.tests@N]";
        assert_eq!(
            lines,
            [
                format!(" [myid:] - INFO  {place} - Snapshotting: 0x1 to f zxid=0x1 path=\"/a b\""),
                format!(" [myid:] - ERROR {place} - no count=3"),
                format!(" [myid:] - WARN  {place} - w"),
            ]
        );
    }

    #[test]
    fn the_spans_of_an_event_follow_its_fields() {
        let lines = logged(|| {
            let span = tracing::info_span!("connection", id = 7, session = "0x1");
            span.in_scope(|| tracing::debug!(len = 4, "read"));
        });
        assert!(
            lines[0].ends_with(" - read len=4 connection{id=7 session=0x1}"),
            "{lines:?}"
        );
    }

    #[test]
    fn control_characters_cannot_start_a_line() {
        let lines = logged(|| {
            let path = "/a\n2026-01-31 forged\x1b[2J\u{85}";
            tracing::info!(%path, "got {path}");
        });
        assert_eq!(lines.len(), 1);
        let escaped = r"/a\n2026-01-31 forged\u{1b}[2J\u{85}";
        assert!(
            lines[0].ends_with(&format!("got {escaped} path={escaped}")),
            "{lines:?}"
        );
    }

    #[test]
    fn the_level_is_the_first_word_of_log4j() {
        for (text, level) in [
            ("INFO,CONSOLE", "info"),
            ("debug, CONSOLE, ROLLINGFILE", "debug"),
            ("WARN", "warn"),
            ("FATAL,CONSOLE", "error"),
            ("OFF", "off"),
            ("ALL", "trace"),
            ("", "info"),
            ("nonsense", "info"),
        ] {
            assert_eq!(log4j_level(text), level, "{text:?}");
        }
    }
}
