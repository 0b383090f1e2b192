//! What nodes hold and use while nobody asks anything of them.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::products::Cluster;
use crate::stats::Spread;

/// What one node held in the end, and used on the way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    /// Resident memory, pages of the program itself among it, in MiB.
    resident: f64,
    /// In cores.
    used: f64,
}

/// Looks at the nodes of all clusters over this time, all of them at once.
pub(crate) fn look(clusters: &[Cluster], span: Duration) -> Vec<Vec<Rest>> {
    let on_processor = || -> Vec<Vec<Duration>> {
        let nodes = clusters.iter().map(Cluster::ids);
        nodes.map(|nodes| nodes.into_iter().map(on_processor).collect()).collect()
    };
    let (start, before) = (Instant::now(), on_processor());
    std::thread::sleep(span);
    let (took, after) = (start.elapsed(), on_processor());
    let node = |id, (before, after): (Duration, Duration)| Rest {
        resident: resident(id),
        used: after.saturating_sub(before).as_secs_f64() / took.as_secs_f64(),
    };
    clusters
        .iter()
        .zip(before.into_iter().zip(after))
        .map(|(cluster, (before, after))| {
            let times = before.into_iter().zip(after);
            cluster.ids().into_iter().zip(times).map(|(id, times)| node(id, times)).collect()
        })
        .collect()
}

/// `9.9 (9.8 to 9.9) MiB, 0.31 (0.30 to 0.33) % of a core`.
pub(crate) fn shown(nodes: &[Rest]) -> String {
    let spread = |each: fn(&Rest) -> f64, one: fn(f64) -> String| {
        Spread::of(nodes.iter().map(each).collect()).map(|spread| spread.shown(one))
    };
    let resident = spread(|rest| rest.resident, |mib| format!("{mib:.1}"));
    let used = spread(|rest| rest.used, |cores| format!("{:.2}", cores * 100.0));
    let (Some(resident), Some(used)) = (resident, used) else { return "-".to_owned() };
    format!("{resident} MiB, {used} % of a core")
}

/// The same for a program.
pub(crate) fn raw(nodes: &[Rest]) -> Value {
    json!({
        "resident_mib": nodes.iter().map(|rest| rest.resident).collect::<Vec<_>>(),
        "cores": nodes.iter().map(|rest| rest.used).collect::<Vec<_>>(),
    })
}

/// Nothing where the process has ended.
fn resident(id: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    resident_in(&status).unwrap_or_default() / 1024.0
}

/// In KiB.
fn resident_in(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Of all its threads; to the nanosecond, where `/proc/ID/stat` counts hundredths of a second.
fn on_processor(id: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    threads
        .filter_map(|thread| {
            let times = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            times.split_whitespace().next()?.parse().ok()
        })
        .map(Duration::from_nanos)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_kib() {
        assert_eq!(resident_in("VmHWM:\t  9 kB\nVmRSS:\t   10240 kB\n"), Some(10_240.0));
        assert_eq!(resident_in("VmRSS: many"), None);
        assert!(resident(std::process::id()) > 0.5);
    }

    #[test]
    fn work_counts_and_is_shown_with_its_spread() {
        let before = on_processor(std::process::id());
        let deadline = Instant::now() + Duration::from_secs(30);
        while on_processor(std::process::id()) == before && Instant::now() < deadline {}
        assert!(on_processor(std::process::id()) > before);
        let nodes = [0.3, 0.1, 0.2].map(|used| Rest { resident: 10.0 * used, used: used / 100.0 });
        assert_eq!(shown(&nodes), "2.0 (1.0 to 3.0) MiB, 0.20 (0.10 to 0.30) % of a core");
    }
}
