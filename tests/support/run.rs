//! One case from its start to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize as _;

use super::case::{Case, Expect, Start, Step};
use super::client::{self, Answer, Client};
use super::expectations::{HASTY, Marks, PATIENT, Records};
use super::gateway::{Gateway, Printed};
use super::matching::shortened;
use super::origin::Origin;
use super::placeholders::Names;
use super::value::{Table, Value};
use super::{Mismatch, certificates, keys, lock, pause};

/// How long a step that runs beside others may take once it is waited for.
const JOIN: Duration = Duration::from_secs(20);

/// A case that failed.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub reason: Mismatch,
    /// The last lines that the gateway printed.
    pub log: Vec<String>,
}

/// Runs the case in a file against the program.
pub fn case(path: &Path, program: &Path, keep: bool) -> Result<(), Failure> {
    let printed = Printed::default();
    run(path, program, keep, &printed).map_err(|reason| {
        let lines = printed.lines_since(0);
        let log = lines[lines.len().saturating_sub(6)..]
            .iter()
            .map(|line| shortened(line, 500))
            .collect();
        Failure { reason, log }
    })
}

fn run(path: &Path, program: &Path, keep: bool, printed: &Printed) -> Result<(), Mismatch> {
    let case = Case::read(path)?;
    let mut folder = tempfile::Builder::new().prefix("case-").tempdir()?;
    folder.disable_cleanup(keep);
    let mut run = Run::prepare(case, folder.path(), program, printed)?;
    let fate = run.run();
    if keep && fate.is_err() {
        return fate.map_err(|mismatch| mismatch.within(folder.path().display()));
    }
    fate
}

type Outcome = Result<Answer, Mismatch>;

struct Run {
    names: Arc<Names>,
    client: Arc<Client>,
    gateway: Gateway,
    origins: BTreeMap<String, Origin>,
    printed: Printed,
    /// Files in the folder that the gateway did not write.
    own: Mutex<BTreeSet<PathBuf>>,
    running: BTreeMap<String, (mpsc::Receiver<Outcome>, Expect)>,
}

impl Run {
    /// Makes keys, origins and files.
    fn prepare(
        case: Case,
        folder: &Path,
        program: &Path,
        printed: &Printed,
    ) -> Result<Self, Mismatch> {
        let mut names = Names::new(case, folder.to_owned())?;
        names.keys = keys::write(&names.case.keys, folder)?;
        certificates::write(&names.case.certs, folder)?;
        let own = super::expectations::files_below(folder)?
            .into_iter()
            .collect();
        let mut origins = BTreeMap::new();
        for (name, spec) in &names.case.origins {
            let origin = Origin::start(spec, folder)?;
            names.origins.insert(name.clone(), origin.address());
            origins.insert(name.clone(), origin);
        }
        for (name, origin) in &origins {
            origin.script(names.filled(&["origins", name, "reply"])?); // replies may name the others
        }
        let run = Self {
            gateway: Gateway::new(program, folder, printed.clone()),
            names: Arc::new(names),
            client: Arc::new(Client::default()),
            origins,
            printed: printed.clone(),
            own: Mutex::new(own),
            running: BTreeMap::new(),
        };
        if let Some(config) = &run.names.case.config {
            run.write("couper.hcl", config)?;
        }
        for (name, text) in run.names.case.files.iter() {
            run.write(name, &text.plain())?;
        }
        run.link(&run.names.case.links)?;
        Ok(run)
    }

    fn run(&mut self) -> Result<(), Mismatch> {
        self.start()?;
        let names = Arc::clone(&self.names);
        let steps = names
            .case
            .unfilled(&["step"])
            .and_then(toml::Value::as_array);
        for (number, step) in steps.into_iter().flatten().enumerate() {
            let what = step
                .get("request")
                .or(step.get("raw"))
                .map(ToString::to_string)
                .unwrap_or_default();
            let place = format!("step {} ({})", number + 1, shortened(&what, 60));
            self.step(step).map_err(|mismatch| mismatch.within(place))?;
        }
        let start = &names.case.start;
        if !start.fails && start.exit.is_none() {
            self.gateway.stop("TERM")?;
        }
        match self
            .printed
            .lines_since(0)
            .iter()
            .find(|line| line.contains("panicked at"))
        {
            Some(line) => Err(Mismatch::new(format!(
                "the gateway panicked: {}",
                shortened(line, 300)
            ))),
            None => Ok(()),
        }
    }

    fn start(&mut self) -> Result<(), Mismatch> {
        let start: Start = self.names.filled(&["start"])?.unwrap_or_default();
        let waited_for = |name: &String| match &start.ready {
            Some(ready) => ready.contains(name),
            None => !name.starts_with("unused"),
        };
        let ports = self.names.ports();
        let ports: Vec<u16> = ports
            .iter()
            .filter(|(name, _)| waited_for(name))
            .map(|(_, port)| *port)
            .collect();
        self.gateway.start(&start, &ports)
    }

    /// Writes a file, its placeholders filled.
    fn write(&self, name: &str, text: &str) -> Result<(), Mismatch> {
        let target = self.names.folder.join(name);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&target, self.names.fill_text(text)?)?;
        lock(&self.own).insert(target);
        Ok(())
    }

    /// Sets symbolic links, each at one stroke, as orchestrators do.
    fn link(&self, links: &Table) -> Result<(), Mismatch> {
        for (name, target) in links.iter() {
            let spare = self.names.folder.join(format!("{name}.new"));
            symlink(target.plain(), &spare)?;
            std::fs::rename(spare, self.names.folder.join(name))?;
        }
        Ok(())
    }

    fn check(&self, expect: &Expect, answer: &Answer, marks: &Marks) -> Result<(), Mismatch> {
        self.records().check(expect, answer, marks, PATIENT)
    }

    fn records(&self) -> Records<'_> {
        Records {
            printed: &self.printed,
            origins: &self.origins,
            folder: &self.names.folder,
            own: &self.own,
        }
    }

    fn step(&mut self, unfilled: &toml::Value) -> Result<(), Mismatch> {
        let fill = |names: &Names| Ok::<_, Mismatch>(Step::deserialize(names.fill(unfilled)?)?);
        let step = fill(&self.names)?;
        let marks = self.records().marks();
        self.before_exchange(&step)?;
        let sends = step.raw.is_some() || step.request.is_some() || step.submit.is_some();
        if let Some(name) = &step.background {
            self.run_beside(name, step.clone());
            pause(step.settle.unwrap_or(0.2));
            return Ok(());
        }
        if let Some(name) = &step.join {
            let (answer, expect) = self
                .running
                .remove(name)
                .ok_or_else(|| Mismatch::new(format!("no step {name:?} runs in the background")))?;
            let answer = answer
                .recv_timeout(JOIN)
                .map_err(|_| Mismatch::new(format!("{name} does not end")))?;
            self.check(&expect, &answer?, &marks)?;
        }
        if !sends {
            pause(step.settle.unwrap_or_default());
            return self.check(&step.expect, &Answer::default(), &marks);
        }
        let answer = if let Some(seconds) = step.until {
            self.until(&step, seconds, &marks)?
        } else if let Some(times) = step.parallel {
            self.parallel(&step, times, &marks)?
        } else {
            let times = step.repeat.unwrap_or(1);
            let each = step.expect.of_each_repetition();
            let mut answer = self.client.exchange(&step, &self.names)?;
            for time in 1..times {
                self.check(&each, &answer, &marks)
                    .map_err(|m| m.within(format!("time {time}")))?;
                answer = self.client.exchange(&fill(&self.names)?, &self.names)?;
            }
            pause(step.settle.unwrap_or_default());
            self.check(&step.expect, &answer, &marks)?;
            answer
        };
        for (name, source) in &step.save {
            self.names.remember(name, client::saved(source, &answer)?);
        }
        Ok(())
    }

    /// What a step does before, or without, a request.
    fn before_exchange(&mut self, step: &Step) -> Result<(), Mismatch> {
        pause(step.wait.unwrap_or_default());
        for (name, text) in step.write.iter() {
            self.write(name, &text.plain())?;
        }
        self.link(&step.links)?;
        for (name, mode) in &step.mode {
            let origin = self.origins.get(name);
            origin
                .ok_or_else(|| Mismatch::new(format!("unknown origin {name:?}")))?
                .set_mode(mode);
        }
        if let Some(signal) = &step.signal {
            self.gateway.signal(signal)?;
        }
        if step.restart {
            self.gateway
                .stop(step.restart_with.as_deref().unwrap_or("TERM"))?;
            self.start()?;
        }
        match step.exit {
            Some(status) => self.gateway.expect_exit(status),
            None => Ok(()),
        }
    }

    fn run_beside(&mut self, name: &str, step: Step) {
        let (done, outcome) = mpsc::sync_channel(1);
        let (client, names) = (Arc::clone(&self.client), Arc::clone(&self.names));
        self.running
            .insert(name.to_owned(), (outcome, step.expect.clone()));
        // nobody may wait for the outcome any more
        thread::spawn(move || _ = done.send(client.exchange(&step, &names)));
    }

    /// Tries again until the expectations hold.
    fn until(&self, step: &Step, seconds: f64, marks: &Marks) -> Result<Answer, Mismatch> {
        let deadline = Instant::now() + Duration::from_secs_f64(seconds);
        loop {
            let attempt = self.client.exchange(step, &self.names).and_then(|answer| {
                self.records().check(&step.expect, &answer, marks, HASTY)?;
                Ok(answer)
            });
            match attempt {
                Err(_) if Instant::now() < deadline => pause(0.1),
                outcome => return outcome,
            }
        }
    }

    /// Makes the request so many times at once.
    fn parallel(&self, step: &Step, times: usize, marks: &Marks) -> Result<Answer, Mismatch> {
        let (client, names) = (&*self.client, &*self.names);
        let answers: Vec<Answer> = thread::scope(|scope| {
            let all: Vec<_> = (0..times)
                .map(|_| scope.spawn(|| client.exchange(step, names)))
                .collect();
            all.into_iter()
                .map(|one| {
                    one.join()
                        .unwrap_or_else(|_| Err(Mismatch::new("the client panicked")))
                })
                .collect::<Result<_, _>>()
        })?;
        for answer in &answers {
            self.check(&step.expect, answer, marks)?;
        }
        if let Some(wanted) = &step.expect.tally {
            let mut counts = BTreeMap::new();
            for answer in &answers {
                *counts.entry(answer.status.to_string()).or_default() += 1;
            }
            if counts != *wanted {
                return Err(Mismatch::new(format!(
                    "tally of statuses: want {wanted:?}, got {counts:?}"
                )));
            }
        }
        for path in &step.expect.same {
            let values = answers
                .iter()
                .map(|a| a.member(path).map(Value::to_string))
                .collect::<Result<BTreeSet<_>, _>>()?;
            if values.len() != 1 {
                return Err(Mismatch::new(format!(
                    "{path}: want one value in all answers, got {values:?}"
                )));
            }
        }
        let good = answers.iter().find(|answer| answer.status == 200);
        good.or(answers.first())
            .cloned()
            .ok_or_else(|| Mismatch::new("no request was made"))
    }
}
