//! `deploy/kubernetes/quorate.yaml`.

use std::collections::BTreeMap;

use quorate::admin::routes;
use serde_json::{Value as Json, json};

use crate::files::{at, settings, texts, yaml};

/// The one document of this kind.
#[track_caller]
fn one(kind: &str) -> Json {
    let found: Vec<_> = yaml("deploy/kubernetes/quorate.yaml")
        .into_iter()
        .filter(|document| document["kind"] == kind)
        .collect();
    assert_eq!(found.len(), 1, "{kind}");
    found.into_iter().next().unwrap()
}

/// The entry of a list that is called so.
#[track_caller]
fn called<'j>(list: &'j Json, name: &str) -> &'j Json {
    let found = list.as_array().expect("a list").iter().find(|item| item["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is missing in {list}"))
}

#[test]
fn every_member_lists_all_and_is_dialled_by_its_own_name() {
    let set = one("StatefulSet");
    let name = at(&set, "/metadata/name").as_str().unwrap();
    let service = at(&set, "/spec/serviceName").as_str().unwrap();
    assert_eq!(one("Service")["metadata"]["name"], service);
    let replicas = at(&set, "/spec/replicas").as_u64().unwrap();
    let pod = at(&set, "/spec/template/spec");
    let container = called(&pod["containers"], "node");
    let env = container["env"].as_array().unwrap();
    for member in 0..replicas {
        let own = format!("{name}-{member}");
        // What the orchestrator fills in.
        let filled = |text: &str| text.replace("$(POD_NAME)", &own);
        let flags: Vec<String> = texts(&container["args"]).into_iter().map(filled).collect();
        let variables: BTreeMap<String, String> = env
            .iter()
            .filter_map(|entry| Some((entry["name"].as_str()?, entry["value"].as_str()?)))
            .map(|(name, value)| (name.to_owned(), filled(value)))
            .collect();
        let shown = settings(&flags, &variables);
        let port = &shown["port"];
        let peers: Vec<_> =
            (0..replicas).map(|it| format!("{name}-{it}.{service}:{port}")).collect();
        assert_eq!(shown["peers"], json!(peers));
        assert_eq!(shown["advertise"], peers[usize::try_from(member).unwrap()]);
        assert_eq!(shown["name"], own);
        assert_eq!(&called(&container["ports"], "peers")["containerPort"], port);
        let admin = &called(&container["ports"], "http")["containerPort"];
        assert_eq!(admin, &shown["admin_port"]);
        assert_eq!(shown["admin_bind"], "0.0.0.0", "probes come from outside of the pod");
        let within = |path: &Json, mount: &str| {
            let mount = called(&container["volumeMounts"], mount)["mountPath"].as_str().unwrap();
            path.as_str().unwrap().starts_with(&format!("{mount}/"))
        };
        assert!(within(&shown["data_dir"], "data") && within(&shown["admin_token_file"], "token"));
    }
    let field = at(called(&container["env"], "POD_NAME"), "/valueFrom/fieldRef/fieldPath");
    assert_eq!(field, "metadata.name");
    assert_eq!(at(&set, "/spec/volumeClaimTemplates/0/metadata/name"), "data");
}

#[test]
fn members_find_each_other_before_they_are_ready_and_all_start_at_once() {
    let service = one("Service");
    assert_eq!(at(&service, "/spec/clusterIP"), "None");
    assert_eq!(at(&service, "/spec/publishNotReadyAddresses"), true);
    let set = one("StatefulSet");
    assert_eq!(at(&set, "/spec/podManagementPolicy"), "Parallel");
    assert_eq!(at(&set, "/spec/template/spec/enableServiceLinks"), false);
    let labels = at(&set, "/spec/template/metadata/labels");
    assert_eq!(at(&set, "/spec/selector/matchLabels"), labels);
    assert_eq!(at(&service, "/spec/selector"), labels);
    let budget = one("PodDisruptionBudget");
    assert_eq!(at(&budget, "/spec/selector/matchLabels"), labels);
    assert_eq!(at(&budget, "/spec/maxUnavailable"), 1);
    let apart = "/spec/template/spec/affinity/podAntiAffinity\
                 /requiredDuringSchedulingIgnoredDuringExecution/0";
    assert_eq!(at(&set, &format!("{apart}/labelSelector/matchLabels")), labels);
    assert_eq!(at(&set, &format!("{apart}/topologyKey")), "kubernetes.io/hostname");
}

#[test]
fn a_member_is_restarted_when_it_hangs_and_not_when_it_is_alone() {
    let set = one("StatefulSet");
    let container = called(at(&set, "/spec/template/spec/containers"), "node");
    for (probe, path) in
        [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
    {
        assert_eq!(at(container, &format!("/{probe}/httpGet/path")), path);
        assert_eq!(at(container, &format!("/{probe}/httpGet/port")), "http");
        assert!(routes().any(|served| served == ("GET", path)), "{path}");
        // The node takes up to three seconds to say that it hangs.
        assert!(at(container, &format!("/{probe}/timeoutSeconds")).as_u64() > Some(3));
    }
}

#[test]
fn a_member_runs_under_the_restricted_profile() {
    let set = one("StatefulSet");
    let pod = at(&set, "/spec/template/spec");
    let container = called(&pod["containers"], "node");
    assert_eq!(at(pod, "/securityContext/runAsNonRoot"), true);
    assert_eq!(at(pod, "/securityContext/seccompProfile/type"), "RuntimeDefault");
    assert_eq!(at(pod, "/automountServiceAccountToken"), false);
    assert_eq!(at(container, "/securityContext/allowPrivilegeEscalation"), false);
    assert_eq!(at(container, "/securityContext/readOnlyRootFilesystem"), true);
    assert_eq!(at(container, "/securityContext/capabilities/drop"), &json!(["ALL"]));
    let secret = at(called(&pod["volumes"], "token"), "/secret");
    assert_eq!(secret["defaultMode"], 0o440);
    assert_eq!(secret["secretName"], "quorate-token");
}
