//! Figures, for programs and for people.

use std::io::{self, Write as _};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::metrics::{Requests, percentile};

/// What a phase took.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) bench: &'static str,
    /// Who did the work.
    pub(crate) who: &'static str,
    /// How many Kustomizations or HelmReleases there were.
    pub(crate) apps: u32,
    pub(crate) phase: &'static str,
    /// Until the work was done.
    pub(crate) seconds: f64,
    /// Processor time, until the cluster was quiet again.
    pub(crate) cpu_seconds: f64,
    /// The peak of the resident memory during the phase; of several processes, the sum of their peaks.
    pub(crate) peak_memory_mib: f64,
    /// Requests to the API server about the resources involved, until the cluster was quiet again.
    pub(crate) requests: Requests,
    #[serde(flatten)]
    pub(crate) own: Option<Own>,
    #[serde(flatten)]
    pub(crate) one: Option<OneApp>,
    #[serde(flatten)]
    pub(crate) each: Option<Each>,
}

/// What only Plumbline's own metrics tell.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Own {
    /// Renders for which plugins ran: what the cache has answered is none.
    pub(crate) renders: u64,
    /// Server-side applies, without dry runs.
    pub(crate) applies: u64,
}

/// A commit that concerns one of many.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct OneApp {
    /// Until the cluster had the change.
    pub(crate) changed_app_seconds: f64,
}

/// What is done many times in a phase, each timed: repairs of drift, wakes of dependants.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Each {
    pub(crate) times: usize,
    pub(crate) p50_seconds: f64,
    pub(crate) p99_seconds: f64,
    pub(crate) max_seconds: f64,
}

impl Each {
    /// The percentiles of what was measured.
    pub(crate) fn of(took: &[Duration]) -> Self {
        let percent = |percent| percentile(took, percent).unwrap_or_default().as_secs_f64();
        Self {
            times: took.len(),
            p50_seconds: percent(50),
            p99_seconds: percent(99),
            max_seconds: percent(100),
        }
    }
}

impl Figure {
    /// What was used for one application: requests, and milliseconds of processor time.
    fn for_one(&self) -> (f64, f64) {
        let share = |all: f64| (all / f64::from(self.apps) * 10.0).round() / 10.0;
        (share(self.requests.total() as f64), share(self.cpu_seconds * 1000.0))
    }

    /// Prints it.
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        let mut figure = serde_json::to_value(self)?;
        let (requests, cpu_ms) = self.for_one();
        figure["requests_for_one"] = requests.into();
        figure["cpu_ms_for_one"] = cpu_ms.into();
        line(&figure)?;
        let verbs: Vec<String> =
            self.requests.iter().map(|(verb, count)| format!("{count} {verb}")).collect();
        let mut more = format!("; for one {requests} requests, {cpu_ms} CPU ms");
        if let Some(own) = self.own {
            more += &format!("; {} renders, {} applies", own.renders, own.applies);
        }
        if let Some(one) = self.one {
            more += &format!("; the changed one after {:.2} s", one.changed_app_seconds);
        }
        if let Some(each) = self.each {
            more += &format!(
                "; each of {} p50 {:.3} s, p99 {:.3} s, max {:.3} s",
                each.times, each.p50_seconds, each.p99_seconds, each.max_seconds
            );
        }
        say(&format!(
            "{:<10} {:>5} {:<16} {:>8.2} s {:>8.2} CPU s {:>7.0} MiB {:>6} requests ({}){more}",
            self.who,
            self.apps,
            self.phase,
            self.seconds,
            self.cpu_seconds,
            self.peak_memory_mib,
            self.requests.total(),
            verbs.join(", "),
        ));
        Ok(())
    }

    /// Prints how many times as much the peer took.
    pub(crate) fn print_ratio(&self, peer: &Self) -> anyhow::Result<()> {
        let ratios = [
            ("seconds", peer.seconds, self.seconds),
            ("cpu_seconds", peer.cpu_seconds, self.cpu_seconds),
            ("peak_memory_mib", peer.peak_memory_mib, self.peak_memory_mib),
            ("requests", peer.requests.total() as f64, self.requests.total() as f64),
        ];
        let mut json = json!({
            "bench": self.bench, "who": format!("{}/{}", peer.who, self.who), "apps": self.apps, "phase": self.phase,
        });
        let mut words = Vec::new();
        for (name, of_peer, of_self) in ratios {
            // Nothing at all cannot be divided by: then there is no ratio.
            if let Some(ratio) = ratio(of_peer, of_self) {
                json[name] = ratio.into();
                words.push(format!("{name} {ratio}"));
            }
        }
        line(&json)?;
        say(&format!("{:<10} {:>5} {:<16} {}", "ratio", self.apps, self.phase, words.join(", ")));
        Ok(())
    }
}

/// How many times as much, to two digits after the point; `None` when there is nothing to compare with.
fn ratio(peer: f64, own: f64) -> Option<f64> {
    (own > 0.0).then(|| (peer / own * 100.0).round() / 100.0)
}

/// One figure of a render.
pub(crate) fn render(
    objects: usize,
    phase: &str,
    median: Duration,
    p99: Duration,
    runs: usize,
) -> anyhow::Result<()> {
    let millis = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
    line(&json!({
        "bench": "render", "who": "plumbline", "objects": objects, "phase": phase, "runs": runs,
        "median_ms": millis(median), "p99_ms": millis(p99),
    }))?;
    say(&format!(
        "render     {objects:>5} {phase:<16} median {:>9.3} ms, p99 {:>9.3} ms of {runs} runs",
        millis(median),
        millis(p99)
    ));
    Ok(())
}

/// One figure of calls of plugins.
pub(crate) fn plugin(phase: &str, who: &str, each: &Each) -> anyhow::Result<()> {
    let micros = |seconds: f64| (seconds * 1e7).round() / 10.0;
    let (median, p99) = (micros(each.p50_seconds), micros(each.p99_seconds));
    line(&json!({
        "bench": "plugins", "who": who, "phase": phase, "runs": each.times, "median_us": median, "p99_us": p99,
    }))?;
    say(&format!(
        "{who:<10} {phase:<22} median {median:>10.1} µs, p99 {p99:>10.1} µs of {} runs",
        each.times
    ));
    Ok(())
}

/// What many plugins take.
pub(crate) fn many(count: usize, loaded: &Value) -> anyhow::Result<()> {
    let mut figure = json!({"bench": "plugins", "who": "plumbline", "phase": "many", "plugins": count});
    for key in ["seconds", "peak_memory_mib", "memory_mib", "file_mib"] {
        figure[key] = loaded[key].clone();
    }
    line(&figure)?;
    say(&format!("plumbline  {count} plugins loaded and called: {loaded}"));
    Ok(())
}

fn line(figure: &Value) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{figure}")?;
    Ok(())
}

/// Tells people. A reader that has gone away does not matter.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_of_the_peer_to_us() {
        assert_eq!(ratio(10.0, 4.0), Some(2.5));
        assert_eq!(ratio(1.0, 3.0), Some(0.33));
        assert_eq!(ratio(5.0, 0.0), None);
    }
}
