//! How a log line is written: its event by name, its fields escaped and bounded, as text or as JSON.

use std::fmt;

use serde_json::Value as Json;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::LogFormat;

/// The longest text of one field, in characters: a sentence fits, a flood does not.
const FIELD_CHARS_MAX: usize = 1_024;

/// The name of the field that holds what was said without one.
const MESSAGE: &str = "message";

/// How lines are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    pub(super) format: LogFormat,
    /// Whether the system's journal reads: it has a clock of its own, and takes priorities as `<4>`.
    pub(super) journal: bool,
    pub(super) colours: bool,
}

impl<S, N> FormatEvent<S, N> for Format
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
        let level = *event.metadata().level();
        let mut fields = Fields::default();
        event.record(&mut fields);
        if self.journal {
            write!(writer, "<{}>", priority(level))?;
        }
        match self.format {
            LogFormat::Text => self.text(&mut writer, level, &fields)?,
            LogFormat::Json => json(&mut writer, level, event.metadata().target(), fields)?,
        }
        writer.write_char('\n')
    }
}

impl Format {
    fn text(&self, writer: &mut Writer<'_>, level: Level, fields: &Fields) -> fmt::Result {
        let dye = |colour: &'static str| if self.colours { colour } else { "" };
        let plain = dye("\u{1b}[0m");
        if !self.journal {
            write!(writer, "{}", dye("\u{1b}[2m"))?;
            SystemTime.format_time(writer)?;
            write!(writer, "{plain} ")?;
        }
        let colour = match level {
            Level::ERROR => "\u{1b}[31m",
            Level::WARN => "\u{1b}[33m",
            Level::INFO => "\u{1b}[32m",
            Level::DEBUG | Level::TRACE => "\u{1b}[34m",
        };
        write!(writer, "{}{level:>5}{plain} {}", dye(colour), as_written(&fields.said))?;
        for (name, value) in &fields.rest {
            write!(writer, " {}{name}={plain}", dye("\u{1b}[2m"))?;
            match value {
                Value::Text(text) => write!(writer, "{:?}", cut(text))?,
                Value::Shown(text) => writer.write_str(&as_written(text))?,
                Value::Plain(json) => write!(writer, "{json}")?,
            }
        }
        Ok(())
    }
}

/// One JSON object: `timestamp`, `level`, `event`, `target`, and the fields beside them.
fn json(writer: &mut Writer<'_>, level: Level, target: &str, fields: Fields) -> fmt::Result {
    let mut timestamp = String::new();
    SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
    let named = |name: &str, value: Json| format!("{}:{value}", Json::from(name));
    let said = cut(&fields.said).into_owned();
    // A library's sentence is no name.
    let key = if is_name(&said) { "event" } else { MESSAGE };
    let mut parts = vec![
        named("timestamp", timestamp.into()),
        named("level", level.as_str().into()),
        named(key, said.into()),
        named("target", target.into()),
    ];
    for (name, value) in fields.rest {
        parts.push(match value {
            Value::Text(text) | Value::Shown(text) => named(name, cut(&text).into()),
            Value::Plain(json) => named(name, json),
        });
    }
    write!(writer, "{{{}}}", parts.join(","))
}

/// Whether this is the stable name of an event, as listed in docs/LOGS.md.
fn is_name(said: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    said.contains('.') && said.split('.').all(is_part)
}

/// The numbers of syslog.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

fn cut(text: &str) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(FIELD_CHARS_MAX) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]).into(),
    }
}

/// What was written to be shown: as it is where it is a word or quoted already, else quoted.
fn as_written(text: &str) -> String {
    let text = cut(text);
    let is_word = !text.is_empty() && !text.contains([' ', '"']);
    if text.contains(|symbol: char| symbol.is_control()) || !is_word && !is_quoted(&text) {
        format!("{text:?}")
    } else {
        text.into_owned()
    }
}

/// Whether it is one quoted text, all of it.
fn is_quoted(text: &str) -> bool {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let mut is_escaped = false;
    let ends_early = |symbol: char| {
        let ends = symbol == '"' && !is_escaped;
        is_escaped = symbol == '\\' && !is_escaped;
        ends
    };
    inner.is_some_and(|inner| !inner.chars().any(ends_early)) && !is_escaped
}

/// A field as it was recorded.
enum Value {
    /// A text: quoted where a person reads it.
    Text(String),
    /// What something shows of itself: a word, if it can.
    Shown(String),
    /// A number or a truth.
    Plain(Json),
}

/// What an event holds.
#[derive(Default)]
struct Fields {
    /// The name of the event.
    said: String,
    rest: Vec<(&'static str, Value)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            (MESSAGE, Value::Text(text) | Value::Shown(text)) => self.said = text,
            (name, value) => self.rest.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::Shown(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::Text(value.to_owned()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::Plain(value.into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::Plain(value.into()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::Plain(value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Plain(value.into()));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Page {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// What `tell` writes in this format.
    fn written(format: Format, tell: impl FnOnce()) -> String {
        let page = Page::default();
        let lines = tracing_subscriber::fmt().event_format(format).with_writer(page.clone());
        tracing::subscriber::with_default(lines.finish(), tell);
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const TEXT: Format = Format { format: LogFormat::Text, journal: true, colours: false };
    const JSON: Format = Format { format: LogFormat::Json, journal: false, colours: false };

    /// One test, for how tracing remembers who listens spans all threads.
    #[test]
    fn a_line_is_one_line_whatever_its_fields_hold() {
        let wild = "a\n\u{1b}[31m\"b\"";
        let tell = || {
            let none: Option<u64> = None;
            tracing::info!(target: "quorate::commit", slot = 3_u64, value = "blue", none, votes = %"2/3", "value.committed");
            tracing::warn!(ok = true, wild, shown = %wild, words = %"two words", quoted = %"\"n 1\"", "peer.odd");
            tracing::warn!(name = %r#""n2" votes="9/9""#, "peer.liar");
            tracing::error!(long = %"é".repeat(FIELD_CHARS_MAX + 5), "node.halted");
            tracing::debug!("a library's sentence. Really");
        };
        let text = written(TEXT, tell);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], r#"<6> INFO value.committed slot=3 value="blue" votes=2/3"#);
        assert_eq!(
            lines[1],
            r#"<4> WARN peer.odd ok=true wild="a\n\u{1b}[31m\"b\"" shown="a\n\u{1b}[31m\"b\"" words="two words" quoted="n 1""#
        );
        assert_eq!(lines[2], r#"<4> WARN peer.liar name="\"n2\" votes=\"9/9\"""#);
        assert!(lines[3].starts_with("<3>ERROR node.halted long=éé"), "{text}");
        assert_eq!(lines[3].matches('é').count(), FIELD_CHARS_MAX);
        assert_eq!(lines.len(), 4, "debug lines are off by default: {text}");

        let text = written(JSON, tell);
        let lines: Vec<Json> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["event"], "value.committed");
        assert_eq!((&lines[0]["slot"], &lines[0]["votes"]), (&3.into(), &"2/3".into()));
        assert_eq!(
            (&lines[0]["level"], &lines[0]["target"]),
            (&"INFO".into(), &"quorate::commit".into())
        );
        assert_eq!((&lines[1]["wild"], &lines[1]["ok"]), (&wild.into(), &true.into()));
        assert!(lines[0]["timestamp"].as_str().unwrap().ends_with('Z'), "{text}");
        assert!(lines[0].get("none").is_none() && lines[0].get("message").is_none(), "{text}");

        let sentence = written(JSON, || tracing::info!("connection closed"));
        assert!(sentence.contains(r#""message":"connection closed""#), "{sentence}");
        let coloured = Format { colours: true, journal: false, ..TEXT };
        let text = written(coloured, tell);
        assert!(
            text.starts_with("\u{1b}[2m") && text.contains("\u{1b}[33m WARN\u{1b}[0m"),
            "{text}"
        );
    }

    #[test]
    fn only_words_with_dots_are_names() {
        for name in ["value.committed", "log.lines_dropped"] {
            assert!(is_name(name), "{name}");
        }
        for other in ["value", "a. b", "a.", ".a", "A.b", "", "a.b-c"] {
            assert!(!is_name(other), "{other}");
        }
    }
}
