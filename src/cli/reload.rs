//! SIGHUP: the settings are read anew, and all of them take effect or none does.

use crate::cli::args::SettingArgs;
use crate::cli::logs::{self, Logs};
use crate::cli::settings::gather;
use crate::cli::signals::Hangups;
use crate::cli::supervisor::Supervisor;
use crate::config::{self, Fault, Key, Origin, Settings};
use crate::runtime::{Handle, NODE_TARGET};

/// Obeys every SIGHUP, for ever.
pub(super) async fn on_hangups(
    mut hangups: Hangups,
    args: &SettingArgs,
    mut settings: Settings,
    handle: &Handle,
    logs: &Logs,
    supervisor: &Supervisor,
) {
    loop {
        hangups.next().await;
        supervisor.reloading().await;
        match reload(args, &settings, handle, logs).await {
            Ok((new, changed)) => {
                settings = new;
                tracing::info!(target: NODE_TARGET, changed = names(&changed), "config.reloaded");
            }
            Err(faults) => {
                for Fault { what, origin, hint } in faults {
                    tracing::error!(target: NODE_TARGET, what, place = %origin, hint, "config.refused");
                }
            }
        }
        // Also where nothing was taken: the node goes on as it was.
        supervisor.reloaded().await;
    }
}

/// Reads everything, checks everything, and only then changes anything.
async fn reload(
    args: &SettingArgs,
    old: &Settings,
    handle: &Handle,
    logs: &Logs,
) -> Result<(Settings, Vec<Key>), Vec<Fault>> {
    let gathered = gather(args);
    let place = gathered.file.as_ref().map_or_else(String::new, |file| file.display().to_string());
    let (new, layers) = gathered.resolve()?;
    let changed = config::changed(old, &new);
    let shown = config::shown(&new, &layers);
    let written = |key: Key| {
        let found = shown.iter().find(|shown| shown.key == key);
        found.map_or(Origin::Default, |shown| shown.origin.clone())
    };
    let fixed = changed.iter().filter(|key| !key.is_reloadable());
    let faults: Vec<_> = fixed
        .map(|key| Fault {
            what: format!("{} needs a restart; nothing was changed", key.name()),
            // A line that is gone stands nowhere.
            origin: written(*key),
            hint: format!("start the node again, or put {} back in {place}", key.name()),
        })
        .collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    let filter = logs::filter(&new.log_level).map_err(|what| {
        let hint = "write error, warn, info, debug, trace or off".to_owned();
        vec![Fault { what, origin: written(Key::LogLevel), hint }]
    })?;
    let node = &new.node;
    let dialled = handle.relist(node.peers.clone(), node.redial_min, node.redial_max).await;
    dialled.map_err(|error| {
        let hint = "nothing was changed".to_owned();
        vec![Fault { what: format!("peers: {error}"), origin: written(Key::Peers), hint }]
    })?;
    logs.set_filter(filter);
    Ok((new, changed))
}

fn names(keys: &[Key]) -> String {
    let names: Vec<_> = keys.iter().map(|key| key.name()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(",") }
}
