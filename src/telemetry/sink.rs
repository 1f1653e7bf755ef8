//! The one way to standard output.
//!
//! Each thread appends finished lines to a buffer of its own ([`write`]). The buffer is handed over
//! when it is large, and whenever its thread is about to sleep ([`flush`], called from the
//! runtime's park hook), so a busy worker takes the lock once per some dozens of lines and a quiet
//! one at once. One writer thread copies the queue out. The queue is bounded: while the reader of
//! the output is stuck, new lines are dropped and counted, and the count is logged as soon as the
//! writer goes on. No thread but the writer ever waits for the output.
//!
//! Whole buffers of whole lines move, so lines never interleave.

use std::cell::{Cell, OnceCell};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::entry::{Entry, Format, Level};

/// Bytes that may wait for the writer thread.
pub const QUEUE_LIMIT: usize = 8 * 1024 * 1024;

/// A thread hands its buffer over when it holds this much.
const BATCH: usize = 16 * 1024;

/// How long the writer thread gathers lines after it was woken. It bounds the number of wake-ups,
/// each of which costs the waking worker a system call.
const GATHER: Duration = Duration::from_millis(4);

/// A queue this long is written without gathering more.
const PLENTY: usize = 128 * 1024;

/// Pause before the next attempt on an output that is in non-blocking mode and full.
const RETRY: Duration = Duration::from_millis(10);

/// A queue that has grown beyond this gives its memory back.
const KEEP: usize = 1024 * 1024;

/// Where log lines go. Cheap to clone; all clones share one queue and one writer thread.
#[derive(Clone, Debug)]
pub struct Sink {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    format: Format,
    level: Level,
    daemon_type: Box<str>,
    queue: Mutex<Queue>,
    /// Wakes the writer thread.
    work: Condvar,
    /// Ends the writer's gathering early when the sink closes.
    closing: Condvar,
    /// Wakes `shutdown`.
    drained: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    lines: u64,
    /// Bytes that the writer thread is writing; they count into the limit.
    writing: usize,
    sleeping: bool,
    closed: bool,
    stopped: bool,
    /// Dropped lines that the log has not told about yet.
    untold: u64,
}

static PROCESS: OnceLock<Sink> = OnceLock::new();

impl Sink {
    /// A sink to standard output.
    pub fn stdout(format: Format, level: Level, daemon_type: &str) -> io::Result<Self> {
        // Past std's line buffer: the writer thread has whole batches already.
        let output = std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Self::to(output, format, level, daemon_type)
    }

    /// A sink to `output`, which its writer thread owns.
    pub fn to(
        output: impl Write + Send + 'static,
        format: Format,
        level: Level,
        daemon_type: &str,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            format,
            level,
            daemon_type: daemon_type.into(),
            queue: Mutex::default(),
            work: Condvar::new(),
            closing: Condvar::new(),
            drained: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let writer = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("log".into())
            .spawn(move || writer.run(output))?;
        Ok(Self { shared })
    }

    /// Makes this the sink of all threads that have none of their own. The first one stays.
    pub fn install(&self) {
        let _ = PROCESS.set(self.clone());
    }

    /// Makes this the sink of the calling thread. Has no effect once the thread has one.
    pub fn attach(&self) {
        LOCAL.with(|local| {
            let _ = local.sink.set(self.clone());
        });
    }

    /// The form of entries.
    pub fn format(&self) -> &Format {
        &self.shared.format
    }

    /// Whether entries of `level` are written.
    pub fn enabled(&self, level: Level) -> bool {
        level <= self.shared.level
    }

    /// The least grave level that is written.
    pub fn level(&self) -> Level {
        self.shared.level
    }

    /// The type of the daemon's entries.
    pub fn daemon_type(&self) -> &str {
        &self.shared.daemon_type
    }

    /// How many lines were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Writes what is queued, for `limit` at most, and ends the writer thread. Lines that come
    /// later are dropped. Returns whether everything was written.
    ///
    /// Lines in the buffers of other threads are not queued yet: end and join those threads first.
    pub fn shutdown(&self, limit: Duration) -> bool {
        flush();
        let end = Instant::now() + limit;
        let mut queue = self.shared.lock();
        queue.closed = true;
        self.shared.work.notify_all();
        self.shared.closing.notify_all();
        while !queue.stopped {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let (guard, _) = self
                .shared
                .drained
                .wait_timeout(queue, left)
                .unwrap_or_else(PoisonError::into_inner);
            queue = guard;
        }
        true
    }
}

impl Shared {
    /// No code that can panic runs under the lock, so a poisoned queue is still whole.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, bytes: &[u8], lines: u64) {
        let mut queue = self.lock();
        if queue.closed {
            drop(queue);
            self.dropped.fetch_add(lines, Ordering::Relaxed);
            return;
        }
        if queue.bytes.len() + queue.writing + bytes.len() > QUEUE_LIMIT {
            queue.untold += lines;
            drop(queue);
            self.dropped.fetch_add(lines, Ordering::Relaxed);
            return;
        }
        queue.bytes.extend_from_slice(bytes);
        queue.lines += lines;
        let wake = std::mem::take(&mut queue.sleeping);
        drop(queue);
        if wake {
            self.work.notify_one();
        }
    }

    fn run(&self, mut output: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut queue = self.lock();
            queue.writing = 0;
            while queue.bytes.is_empty() && queue.untold == 0 && !queue.closed {
                queue.sleeping = true;
                queue = self
                    .work
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            queue.sleeping = false;
            if queue.bytes.is_empty() && queue.untold == 0 {
                break;
            }
            if queue.bytes.len() < PLENTY && !queue.closed {
                let (guard, _) = self
                    .closing
                    .wait_timeout(queue, GATHER)
                    .unwrap_or_else(PoisonError::into_inner);
                queue = guard;
            }
            std::mem::swap(&mut batch, &mut queue.bytes);
            let lines = std::mem::take(&mut queue.lines);
            let untold = std::mem::take(&mut queue.untold);
            queue.writing = batch.len();
            drop(queue);

            if untold > 0 {
                self.tell_dropped(&mut batch, untold);
            }
            if self.write_all(&mut output, &batch).is_err() {
                // Closed for good, most likely; the next batch tries again, which costs little.
                self.dropped.fetch_add(lines, Ordering::Relaxed);
            }
            batch.clear();
            if batch.capacity() > KEEP {
                batch = Vec::new();
            }
        }
        let mut queue = self.lock();
        queue.stopped = true;
        drop(queue);
        self.drained.notify_all();
    }

    fn tell_dropped(&self, batch: &mut Vec<u8>, count: u64) {
        if Level::Warning <= self.level {
            let mut entry = self.format.begin(
                batch,
                &self.daemon_type,
                Level::Warning,
                SystemTime::now(),
                b"log entries were dropped because the output did not take them",
            );
            entry.number("dropped", count);
            entry.finish();
        }
    }

    fn write_all(&self, output: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match output.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    let queue = self.lock();
                    drop(
                        self.closing
                            .wait_timeout(queue, RETRY)
                            .unwrap_or_else(PoisonError::into_inner),
                    );
                }
                Err(e) => return Err(e),
            }
        }
        output.flush()
    }
}

#[derive(Default)]
struct Local {
    sink: OnceCell<Sink>,
    buffer: Cell<Vec<u8>>,
    lines: Cell<u64>,
}

impl Local {
    fn sink(&self) -> Option<&Sink> {
        if self.sink.get().is_none() {
            let _ = self.sink.set(PROCESS.get()?.clone());
        }
        self.sink.get()
    }

    fn flush(&self) {
        let mut buffer = self.buffer.take();
        let lines = self.lines.take();
        if lines > 0
            && let Some(sink) = self.sink()
        {
            sink.shared.push(&buffer, lines);
        }
        buffer.clear();
        self.buffer.set(buffer);
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.flush();
    }
}

thread_local! {
    static LOCAL: Local = Local::default();
}

/// Adds one line to the calling thread's buffer. `fill` adds the fields; it is not called when the
/// thread has no sink or `level` is not written.
///
/// The line reaches the output when the thread calls [`flush`] or its buffer is full.
pub fn write(
    kind: &str,
    level: Level,
    time: SystemTime,
    message: &[u8],
    fill: impl FnOnce(&mut Entry<'_>),
) {
    // During the end of a thread there may be no buffer any more: nothing to tell then.
    let _ = LOCAL.try_with(|local| {
        let Some(sink) = local.sink() else { return };
        if !sink.enabled(level) {
            return;
        }
        // Taken out, so that an entry written while this one is built finds an empty buffer.
        let mut buffer = local.buffer.take();
        let mut entry = sink.format().begin(&mut buffer, kind, level, time, message);
        fill(&mut entry);
        entry.finish();
        let nested = local.buffer.take();
        buffer.extend_from_slice(&nested);
        let full = buffer.len() >= BATCH;
        local.buffer.set(buffer);
        local.lines.set(local.lines.get() + 1);
        if full {
            local.flush();
        }
    });
}

/// The same for an entry of the daemon itself, now.
pub fn write_daemon(level: Level, message: &[u8], fill: impl FnOnce(&mut Entry<'_>)) {
    let sink = LOCAL.try_with(|local| local.sink().cloned());
    if let Ok(Some(sink)) = sink {
        write(sink.daemon_type(), level, SystemTime::now(), message, fill);
    }
}

/// How many lines the process's log has dropped since the start.
pub fn dropped() -> u64 {
    PROCESS.get().map_or(0, Sink::dropped)
}

/// Whether the calling thread writes entries of `level`.
pub fn enabled(level: Level) -> bool {
    LOCAL
        .try_with(|local| local.sink().is_some_and(|sink| sink.enabled(level)))
        .unwrap_or(false)
}

/// Hands the calling thread's lines to the writer thread. Costs next to nothing without any.
pub fn flush() {
    let _ = LOCAL.try_with(|local| {
        if local.lines.get() > 0 {
            local.flush();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::entry::Layout;

    /// An output that a test can hold up.
    #[derive(Clone, Default)]
    struct Output {
        bytes: Arc<Mutex<Vec<u8>>>,
        gate: Arc<Mutex<()>>,
        broken: bool,
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _open = self.gate.lock().unwrap();
            if self.broken {
                return Err(ErrorKind::BrokenPipe.into());
            }
            // Short writes must not tear lines.
            let part = bytes.len().min(1000);
            self.bytes.lock().unwrap().extend_from_slice(&bytes[..part]);
            Ok(part)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Output {
        fn sink(&self) -> Sink {
            let format = Format::new(Layout::Json);
            Sink::to(self.clone(), format, Level::Info, "couper_daemon").unwrap()
        }

        fn lines(&self) -> Vec<serde_json::Value> {
            let bytes = self.bytes.lock().unwrap();
            bytes
                .split(|&b| b == b'\n')
                .filter(|line| !line.is_empty())
                .map(|line| serde_json::from_slice(line).unwrap())
                .collect()
        }
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    fn one(number: u64) {
        write("t", Level::Info, SystemTime::now(), b"m", |entry| {
            entry.number("n", number);
        });
    }

    #[test]
    fn lines_of_many_threads_stay_whole() {
        let output = Output::default();
        let sink = output.sink();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let sink = sink.clone();
                scope.spawn(move || {
                    sink.attach();
                    for n in 0..2000 {
                        one(thread * 10_000 + n);
                        if n % 7 == 0 {
                            flush();
                        }
                    }
                    // A scope does not wait for the thread's destructors.
                    flush();
                });
            }
        });
        assert!(sink.shutdown(PATIENCE));
        let lines = output.lines();
        assert_eq!(lines.len() as u64 + sink.dropped(), 16_000);
        assert_eq!(sink.dropped(), 0);
        for thread in 0..8 {
            let mine = |n: &u64| n / 10_000 == thread;
            let numbers = lines
                .iter()
                .map(|line| line["n"].as_u64().unwrap())
                .filter(mine);
            assert!(numbers.is_sorted(), "the order of one thread is kept");
        }
    }

    #[test]
    fn a_stuck_reader_costs_lines_and_they_are_counted() {
        let output = Output::default();
        let sink = output.sink();
        let held = output.gate.lock().unwrap();
        let thread = std::thread::spawn({
            let sink = sink.clone();
            move || {
                sink.attach();
                let fill = vec![b'x'; 1000];
                for _ in 0..20_000 {
                    write("t", Level::Info, SystemTime::now(), &fill, |_| ());
                }
            }
        });
        thread.join().unwrap();
        let dropped = sink.dropped();
        assert!(dropped > 0);
        drop(held);
        assert!(sink.shutdown(PATIENCE));
        let mut told = 0;
        let mut written = 0;
        for line in output.lines() {
            if line["type"] == "couper_daemon" {
                assert_eq!(line["level"], "warning");
                told += line["dropped"].as_u64().unwrap();
            } else {
                written += 1;
            }
        }
        assert_eq!(told, dropped);
        assert_eq!(written + dropped, 20_000);
    }

    #[test]
    fn shutdown_does_not_wait_for_a_stuck_reader() {
        let output = Output::default();
        let sink = output.sink();
        let _held = output.gate.lock().unwrap();
        sink.attach();
        one(1);
        assert!(!sink.shutdown(Duration::from_millis(20)));
    }

    #[test]
    fn a_closed_output_is_survived() {
        let output = Output {
            broken: true,
            ..Output::default()
        };
        let sink = output.sink();
        sink.attach();
        one(1);
        flush();
        one(2);
        assert!(sink.shutdown(PATIENCE));
        assert_eq!(sink.dropped(), 2);
    }

    #[test]
    fn entries_may_be_written_while_one_is_built() {
        let output = Output::default();
        let sink = output.sink();
        sink.attach();
        write("t", Level::Info, SystemTime::now(), b"outer", |_| one(1));
        write(
            "t",
            Level::Debug,
            SystemTime::now(),
            b"below the level",
            |_| (),
        );
        assert!(sink.shutdown(PATIENCE));
        assert_eq!(output.lines().len(), 2);
    }
}
