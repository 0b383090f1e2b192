//! The status page: one file, no outside resources, live by the same interface that everyone else uses.
//!
//! Without JavaScript it is a plain table, written here and reloaded by the browser.

use std::fmt::Write;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::admin::api::{LogContent, LogEntry, Member, StatusResponse};
use crate::admin::problem::Problem;
use crate::admin::shared::{Asker, Shared};
use crate::engine::Condition;
use crate::types::Slot;

const PAGE: &str = include_str!("page/index.html");

/// Entries in the plain table.
const ENTRIES: u64 = 12;

/// How much of a value the plain table shows, in characters.
const SHOWN_CHARS_MAX: usize = 200;

pub(super) async fn page(State(shared): State<Shared>, asker: Asker) -> Result<Response, Problem> {
    // Scripts and styles of this page carry a number that nobody can guess; all others are not run.
    let nonce = getrandom::u64().and_then(|high| Ok((high, getrandom::u64()?)));
    let (high, low) = nonce.map_err(|error| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no_chance",
            format!("the system gives no random numbers: {error}"),
            "look at the machine of this node",
        )
    })?;
    let nonce = format!("{high:016x}{low:016x}");
    let plain = match asker {
        Asker::Known => plain(&shared).await?,
        Asker::Unknown => {
            "<p>This node wants a token, which takes JavaScript to show.</p>".to_owned()
        }
    };
    let html = PAGE.replace("{{nonce}}", &nonce).replacen("{{plain}}", &plain, 1);
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    Ok((headers, html).into_response())
}

/// Where the node stands, without JavaScript.
async fn plain(shared: &Shared) -> Result<String, Problem> {
    let status = shared.in_time(shared.handle.status()).await??;
    let status = StatusResponse::from(&status);
    let committed = status.committed.slot.0;
    let from = Slot(committed.saturating_sub(ENTRIES - 1).max(1));
    let limit = usize::try_from(ENTRIES).expect("a small number");
    let entries = shared.in_time(shared.handle.committed(from, limit)).await??;
    let entries: Vec<LogEntry> = entries.iter().map(LogEntry::from).collect();
    Ok(table(&status, &entries))
}

fn table(status: &StatusResponse, entries: &[LogEntry]) -> String {
    let mut html = String::new();
    let mut add = |text: String| html.push_str(&text);
    let sign = match status.verdict.state {
        Condition::Commits => "✓",
        Condition::Degraded => "!",
        Condition::Contested | Condition::Forming => "…",
        Condition::SlowDisk | Condition::NoQuorum | Condition::ShutOut => "✕",
    };
    let (name, cluster, round) = (escaped(&status.name), escaped(&status.cluster), status.round);
    add(format!("<p>{name} · cluster {cluster} · round {round} · loaded anew every 5 s</p>"));
    add(format!("<section><h1>{sign} {}</h1>", escaped(&status.verdict.text)));
    for line in &status.verdict.because {
        add(format!("<p>{}</p>", escaped(line)));
    }
    for line in &status.verdict.mend {
        add(format!("<p>→ {}</p>", escaped(line)));
    }
    add("<table><tr><th>member</th><th>seen as</th><th>hears</th><th>voted up to slot</th><th>round trip</th></tr>".to_owned());
    let name = |member: &Member| match member.name.is_empty() {
        true => member.id.short(),
        false => escaped(&member.name),
    };
    let mut members: Vec<&Member> = status.members.iter().collect();
    members.sort_by_key(|member| name(member));
    for member in members {
        let heard = status.members.iter().filter(|other| member.hears.contains(&other.id));
        let heard: Vec<String> = heard.map(name).collect();
        let voted =
            member.announces.as_ref().map_or("–".to_owned(), |said| said.voted.to_string());
        let trip = member.round_trip_ms.map_or("–".to_owned(), |took| format!("{took:.1} ms"));
        let (name, seen, heard) = (name(member), member.status, heard.join(", "));
        add(format!(
            "<tr><td>{name}</td><td>{seen:?}</td><td>{heard}</td><td>{voted}</td><td>{trip}</td></tr>"
        ));
    }
    add("</table><table><tr><th>slot</th><th>value</th><th>digest</th></tr>".to_owned());
    for entry in entries.iter().rev() {
        let what = match &entry.content {
            LogContent::Value { value, .. } => match value.char_indices().nth(SHOWN_CHARS_MAX) {
                None => escaped(value),
                Some((end, _)) => escaped(&value[..end]) + "…",
            },
            LogContent::Config { config } => format!("epoch {}", config.epoch),
            LogContent::Noop => "(nothing)".to_owned(),
        };
        let (slot, digest) = (entry.slot, entry.hash.short());
        add(format!("<tr><td>{slot}</td><td>{what}</td><td>{digest}</td></tr>"));
    }
    add("</table></section>".to_owned());
    html
}

/// A text that a browser takes for nothing else.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for symbol in text.chars() {
        match symbol {
            '&' | '<' | '>' | '"' | '\'' => {
                // Writing to a string does not fail.
                let _ = write!(html, "&#{};", u32::from(symbol));
            }
            _ => html.push(symbol),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_a_text() {
        assert_eq!(escaped("blue & <b>'\"é"), "blue &#38; &#60;b&#62;&#39;&#34;é");
    }

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            let found = PAGE.replace("http://www.w3.org/2000/svg", "").contains(outside);
            assert!(!found, "{outside} stands in the page");
        }
        assert_eq!(PAGE.matches("{{nonce}}").count(), 2);
        assert_eq!(PAGE.matches("{{plain}}").count(), 1);
        assert!(!PAGE.contains(" style=") && !PAGE.contains(" onclick="), "the policy forbids it");
    }
}
