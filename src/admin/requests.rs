//! The requests that one server answered, counted by route and class of status.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::Method;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::runtime::METRICS_PREFIX;

/// Classes of statuses, as a label says them.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The label of what is no route; strangers choose such paths.
const OTHER: &str = "other";

/// The counters of one route.
struct Line {
    method: Method,
    path: &'static str,
    classes: [Counter; CLASSES.len()],
}

/// The requests of one server.
pub(super) struct Requests {
    registry: Registry,
    lines: Vec<Line>,
    others: [Counter; CLASSES.len()],
    started: f64,
}

impl Requests {
    /// Nothing was asked yet. `routes` are all there are, so that what is counted has bounds.
    pub(super) fn new(routes: impl Iterator<Item = (Method, &'static str)>) -> Self {
        let family = Family::<Vec<(&'static str, String)>, Counter>::default();
        let counters = |method: &str, path: &str| {
            CLASSES.map(|class| {
                let labels = [("method", method), ("path", path), ("status", class)];
                let labels = labels.map(|(name, text)| (name, text.to_owned())).to_vec();
                family.get_or_create_owned(&labels)
            })
        };
        let line = |(method, path): (Method, &'static str)| {
            let classes = counters(method.as_str(), path);
            Line { method, path, classes }
        };
        let lines = routes.map(line).collect();
        let others = counters(OTHER, OTHER);
        let mut registry = Registry::with_prefix(METRICS_PREFIX);
        let help = "HTTP requests answered, by route and class of status";
        registry.register("http_requests", help, family);
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { registry, lines, others, started: started.as_secs_f64() }
    }

    /// Counts an answer.
    pub(super) fn answered(&self, method: &Method, path: &str, status: u16) {
        // What answers GET answers HEAD as well.
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let line = self.lines.iter().find(|line| line.method == method && fits(line.path, path));
        let classes = line.map_or(&self.others, |line| &line.classes);
        classes[usize::from(status / 100).saturating_sub(1).min(CLASSES.len() - 1)].inc();
    }

    /// When the server started, in seconds since 1970.
    pub(super) fn started(&self) -> f64 {
        self.started
    }

    /// Writes them in the text format of OpenMetrics, without the end.
    pub(super) fn encode(&self, out: &mut impl fmt::Write) -> fmt::Result {
        text::encode_registry(out, &self.registry)
    }
}

/// Whether a path is one of a route, whose parameters stand in braces.
fn fits(route: &str, path: &str) -> bool {
    let (mut parts, mut given) = (route.split('/'), path.split('/'));
    loop {
        match (parts.next(), given.next()) {
            (None, None) => return true,
            (Some(part), Some(given)) if part == given || part.starts_with('{') => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_route_is_counted_as_one_thing() {
        let requests = Requests::new([(Method::GET, "/v1/log/{slot}")].into_iter());
        requests.answered(&Method::GET, "/v1/log/7", 200);
        requests.answered(&Method::HEAD, "/v1/log/7", 200);
        requests.answered(&Method::GET, "/v1/log/7", 101);
        requests.answered(&Method::GET, "/v1/log/8", 404);
        requests.answered(&Method::GET, "/v1/log/8/9", 404);
        requests.answered(&Method::DELETE, "/v1/log/8", 405);
        let mut told = String::new();
        requests.encode(&mut told).unwrap();
        for line in [
            r#"quorate_http_requests_total{method="GET",path="/v1/log/{slot}",status="1xx"} 1"#,
            r#"quorate_http_requests_total{method="GET",path="/v1/log/{slot}",status="2xx"} 2"#,
            r#"quorate_http_requests_total{method="GET",path="/v1/log/{slot}",status="4xx"} 1"#,
            r#"quorate_http_requests_total{method="other",path="other",status="4xx"} 2"#,
        ] {
            assert!(told.lines().any(|told| told == line), "{line} in {told}");
        }
    }
}
