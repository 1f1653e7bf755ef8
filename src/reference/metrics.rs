//! The metrics.

use super::{head, row};
use crate::telemetry::metrics::families::{ALL, Kind};

pub(super) fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\nWhat `beta_metrics` shows. Every series also has the labels `service_name` and \
         `service_version`. Durations are in seconds. How to use them: \
         [observing](../observing.md).\n\n",
    );
    head(&mut page, &["metric", "type", "labels", ""]);
    for family in ALL {
        let labels: Vec<String> = family.labels.iter().map(|l| format!("`{l}`")).collect();
        let mut help = family.help.to_owned();
        if let Kind::Histogram(bounds) = family.kind {
            let shown = |nanos: &u64| std::time::Duration::from_nanos(*nanos).as_secs_f64();
            let bounds: Vec<String> = bounds.iter().map(|b| shown(b).to_string()).collect();
            help.push_str(&format!(" Buckets: {}.", bounds.join(", ")));
        }
        row(
            &mut page,
            &[
                &format!("`{}`", family.name),
                family.kind.as_str(),
                &labels.join(", "),
                &help,
            ],
        );
    }
    page
}
