//! `plumb plugin bench`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use plumb_plugin::{Host, HostConfig};

use super::inspect::size;
use super::project::ProjectArg;
use super::{cases, runner};
use crate::output;

/// Measures a plugin: how long it takes to compile, to load what was compiled, and to run a case.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    project: ProjectArg,
    /// The component to measure, instead of the one that was built in the plugin's folder.
    #[arg(long)]
    component: Option<PathBuf>,
    /// The case to run; by default the first one.
    #[arg(long)]
    case: Option<String>,
    /// How many calls are measured.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: u32,
}

impl Bench {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let project = self.project.open()?;
        let component = self.component.map_or_else(|| project.built(), Ok)?;
        let mut cases = cases::find(&project.directory)?.into_iter();
        let case = match &self.case {
            None => cases.next(),
            Some(name) => cases.find(|case| case.name == *name),
        };
        let Some(case) = case else {
            bail!("there is no case {:?} in tests/", self.case.unwrap_or_default())
        };
        let input = case.input()?;

        let cache = tempfile::tempdir().context("cannot make a directory for what is compiled")?;
        let host = || {
            Host::new(HostConfig { cache_dir: Some(cache.path().join("plugins")), ..HostConfig::default() })
        };
        let (compiling, _) = timed(|| runner::load(&host()?, &component))?;
        let warm = host()?;
        let (loading, plugin) = timed(|| runner::load(&warm, &component))?;

        let (mut times, mut memory) = (Vec::new(), 0);
        for _ in 0..self.calls {
            let call = input.call()?;
            let (time, _) = timed(|| case.run(&plugin, &input, &call))?;
            times.push(time);
            memory = memory.max(call.used.usage().memory_bytes);
        }
        times.sort_unstable();
        let rows = [
            ("compiled for the first time", milliseconds(compiling)),
            ("loaded from the compile cache", milliseconds(loading)),
            ("called, half of the calls within", milliseconds(percentile(&times, 50))),
            ("called, 99 of 100 within", milliseconds(percentile(&times, 99))),
            ("memory at most", size(memory)),
        ];
        output::line(format_args!(
            "case {} with {} objects, {} calls",
            case.name,
            input.objects(),
            self.calls
        ))?;
        for (what, how_much) in rows {
            output::line(format_args!("{what:<34}{how_much:>12}"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(Duration, T)> {
    let started = Instant::now();
    let result = work()?;
    Ok((started.elapsed(), result))
}

fn milliseconds(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1000.0)
}

/// Of times in order, at least one: the one that so many of a hundred do not exceed.
fn percentile(times: &[Duration], percent: usize) -> Duration {
    let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::percentile;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(100));
        assert_eq!(percentile(&times, 99), Duration::from_millis(198));
        assert_eq!(percentile(&times[..1], 99), Duration::from_millis(1));
    }
}
