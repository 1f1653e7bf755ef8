//! What the system tells of the process.

use std::fs;

use super::families::{
    self, PROCESS_CPU, PROCESS_MAX_FDS, PROCESS_OPEN_FDS, PROCESS_RESIDENT, PROCESS_START,
    PROCESS_THREADS, PROCESS_VIRTUAL,
};
use super::registry::Registry;

/// Adds the series of the process, each read at a scrape. Where the system does not tell a number
/// its series is missing.
pub(super) fn register(registry: &Registry) {
    let build = option_env!("GATEWAY_BUILD").unwrap_or("dev");
    registry.read(&families::BUILD_INFO, &[build, crate::VERSION], || {
        Some(1.0)
    });
    registry.read(&PROCESS_CPU, &[], || {
        let ticks = |stat: &Stat| Some(stat.number(14)? + stat.number(15)?);
        Some(ticks(&Stat::read()?)? / ticks_per_second())
    });
    registry.read(&PROCESS_START, &[], || {
        let since_boot = Stat::read()?.number(22)? / ticks_per_second();
        Some(booted_at()? + since_boot)
    });
    registry.read(&PROCESS_THREADS, &[], || Stat::read()?.number(20));
    registry.read(&PROCESS_VIRTUAL, &[], || Stat::read()?.number(23));
    registry.read(&PROCESS_RESIDENT, &[], || {
        #[allow(clippy::cast_precision_loss)]
        let page = rustix::param::page_size() as f64;
        Some(Stat::read()?.number(24)? * page)
    });
    registry.read(&PROCESS_OPEN_FDS, &[], || {
        #[allow(clippy::cast_precision_loss)]
        Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64)
    });
    registry.read(&PROCESS_MAX_FDS, &[], max_fds);
}

#[allow(clippy::cast_precision_loss)]
fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// The fields of `/proc/self/stat`, counted from 1 as in proc(5).
struct Stat(String);

impl Stat {
    fn read() -> Option<Self> {
        fs::read_to_string("/proc/self/stat").ok().map(Self)
    }

    fn number(&self, field: usize) -> Option<f64> {
        // The second field, a name in parentheses, may hold blanks.
        let rest = self.0.rsplit_once(") ")?.1;
        rest.split(' ').nth(field.checked_sub(3)?)?.parse().ok()
    }
}

fn booted_at() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

fn max_fds() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Value;

    #[test]
    fn the_system_tells_plausible_numbers() {
        let registry = Registry::default();
        register(&registry);
        let samples = registry.collect();
        let number = |name: &str| {
            let found = samples.iter().find(|sample| sample.family.name == name);
            match found.map(|sample| &sample.value) {
                Some(Value::Number(number)) => *number,
                other => panic!("{name}: {other:?}"),
            }
        };
        assert!(number("couper_process_resident_memory_bytes") > 1e5);
        assert!(number("couper_process_virtual_memory_bytes") > 1e5);
        assert!(number("couper_process_open_fds") > 2.0);
        assert!(number("couper_process_max_fds") > 2.0);
        assert!(number("couper_process_threads") >= 1.0);
        assert!(number("couper_process_start_time_seconds") > 1.6e9);
        assert!(number("couper_process_cpu_seconds_total") >= 0.0);
    }
}
