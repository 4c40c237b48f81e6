//! Pool: a few slow threads for work that would hold up answers, with a short queue before them.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::error::{Context, Error, Refusal, Result};

/// How long a thread keeps its memory without work.
const MEMORY_KEEP: Duration = Duration::from_secs(10);
/// After how long a refused caller may come again.
const BUSY_WAIT: Duration = Duration::from_secs(1);
/// How much kinder to others a thread of a pool is than the threads that answer, of at most 19.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Threads that work one job each, with memory `M` that a thread keeps from one job to the next. Clones share
/// them; they end with the last clone.
pub struct Pool<M>(Arc<Owner<M>>);

struct Owner<M>(Arc<Queue<M>>);

impl<M> Clone for Pool<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> fmt::Debug for Pool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("queue", &self.0.0.limit).finish_non_exhaustive()
    }
}

impl<M: Default + 'static> Pool<M> {
    /// Starts `threads` threads, named after their work; at most `queue` jobs wait for them. Of either there is
    /// at least one.
    ///
    /// # Errors
    /// A fault when the system gives no thread.
    pub fn new(name: &str, threads: usize, queue: usize) -> Result<Self> {
        let queue = Arc::new(Queue::new(queue.max(1)));
        // It closes the queue, too, when one of the threads cannot be started.
        let pool = Self(Arc::new(Owner(Arc::clone(&queue))));
        for n in 0..threads.max(1) {
            let queue = Arc::clone(&queue);
            thread::Builder::new()
                .name(format!("{name}-{n}"))
                .spawn(move || queue.serve())
                .map_err(|error| Error::Fault(error.into()))
                .context("starting a thread of a pool")?;
        }
        Ok(pool)
    }

    /// Does the work on one of the threads and waits for its result. Work whose caller goes away while it waits
    /// in the queue is never begun.
    ///
    /// # Errors
    /// What the work returns; `Refusal::Busy` when too many wait; a fault when it panics.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut M) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        // Lives as long as this future is waited for.
        let caller = Arc::new(());
        self.0.0.push(Job {
            caller: Arc::downgrade(&caller),
            work: Box::new(move |memory| {
                // Nobody may be listening any more.
                let _ = answer.send(work(memory));
            }),
        })?;
        let answer = answered.await;
        drop(caller);
        answer.unwrap_or_else(|_| Err(Error::fault("work in a pool ended in a panic")))
    }
}

impl<M> Drop for Owner<M> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The jobs that wait for a thread.
struct Queue<M> {
    state: Mutex<State<M>>,
    ready: Condvar,
    limit: usize,
}

struct State<M> {
    jobs: VecDeque<Job<M>>,
    closed: bool,
}

struct Job<M> {
    /// Dead when nobody waits for the answer.
    caller: Weak<()>,
    work: Work<M>,
}

type Work<M> = Box<dyn FnOnce(&mut M) + Send>;

impl<M> Job<M> {
    fn is_wanted(&self) -> bool {
        self.caller.strong_count() > 0
    }
}

impl<M> Queue<M> {
    fn new(limit: usize) -> Self {
        let state = State { jobs: VecDeque::with_capacity(limit), closed: false };
        Self { state: Mutex::new(state), ready: Condvar::new(), limit }
    }

    fn push(&self, job: Job<M>) -> Result<()> {
        let mut state = self.lock();
        if state.jobs.len() >= self.limit {
            state.jobs.retain(Job::is_wanted);
        }
        if state.jobs.len() >= self.limit {
            return Err(Refusal::Busy(BUSY_WAIT).into());
        }
        state.jobs.push_back(job);
        self.ready.notify_one();
        Ok(())
    }

    fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
    }

    /// No job runs under this lock, so a panic cannot leave the state half changed.
    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Default> Queue<M> {
    /// Works until the queue is closed.
    fn serve(&self) {
        be_kind();
        let mut memory = None;
        while let Some(job) = self.next(&mut memory) {
            if job.is_wanted() {
                let memory = memory.get_or_insert_with(M::default);
                // A panic drops the caller's channel, which answers him, and costs this one job.
                let _ = catch_unwind(AssertUnwindSafe(|| (job.work)(memory)));
            }
        }
    }

    /// Waits for a job, and gives the memory back when none comes for a while.
    fn next(&self, memory: &mut Option<M>) -> Option<Job<M>> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            if memory.is_none() {
                state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (locked, waited) =
                self.ready.wait_timeout(state, MEMORY_KEEP).unwrap_or_else(PoisonError::into_inner);
            state = locked;
            if waited.timed_out() {
                *memory = None;
            }
        }
    }
}

/// Lets everybody else go first: a flood of slow work must not slow reads. On Linux niceness belongs to a thread.
#[cfg(target_os = "linux")]
fn be_kind() {
    // Where it is forbidden, the work is as quick as the rest, and still bounded.
    let _ = rustix::process::nice(NICENESS);
}

#[cfg(not(target_os = "linux"))]
fn be_kind() {}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// One thread, and room for so many to wait.
    fn pool(queue: usize) -> Pool<Vec<u8>> {
        Pool::new("test", 1, queue).unwrap()
    }

    #[tokio::test]
    async fn a_panic_costs_one_answer_and_not_the_thread() {
        let pool = pool(4);
        for _ in 0..3 {
            match pool.run(|_| -> Result<()> { panic!("as the test wants it") }).await {
                Err(Error::Fault(fault)) => assert!(fault.to_string().contains("panic"), "{fault}"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(pool.run(|_| Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_thread_keeps_its_memory_from_job_to_job() {
        let pool = pool(4);
        pool.run(|memory| {
            memory.push(1);
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(pool.run(|memory| Ok(memory.clone())).await.unwrap(), [1]);
    }

    #[tokio::test]
    async fn a_full_queue_is_busy_until_a_waiting_caller_leaves_or_is_served() {
        let pool = pool(1);
        let (begun, has_begun) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let run = |work: Box<dyn FnOnce() + Send>| {
            let pool = pool.clone();
            tokio::spawn(async move {
                pool.run(|_| {
                    work();
                    Ok(())
                })
                .await
            })
        };
        let running = run(Box::new(move || {
            begun.send(()).unwrap();
            let _ = released.recv();
        }));
        tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();

        let (asked, was_asked) = mpsc::channel();
        let waiting = run(Box::new(move || asked.send(()).unwrap()));
        tokio::task::yield_now().await;
        match run(Box::new(|| ())).await.unwrap() {
            Err(Error::Refusal(refusal)) => assert_eq!(refusal, Refusal::Busy(Duration::from_secs(1))),
            other => panic!("{other:?}"),
        }

        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        let next = run(Box::new(|| ()));
        tokio::task::yield_now().await;
        drop(release);
        running.await.unwrap().unwrap();
        next.await.unwrap().unwrap();
        assert!(was_asked.recv().is_err(), "the one who left was forgotten, not served");
    }

    #[tokio::test]
    async fn a_caller_who_left_while_waiting_is_not_served() {
        let pool = pool(4);
        let (release, released) = mpsc::channel::<()>();
        let (asked, was_asked) = mpsc::channel();
        let held = pool.run(move |_| {
            let _ = released.recv();
            Ok(())
        });
        let left = pool.run(move |_| {
            asked.send(()).unwrap();
            Ok(())
        });
        {
            // Both are begun, neither is answered; only the first is waited for any longer.
            let (mut held, mut left) = (Box::pin(held), Box::pin(left));
            tokio::select! {
                biased;
                _ = &mut held => panic!("it is held"),
                _ = &mut left => panic!("it waits behind"),
                () = async {} => {}
            }
            drop(left);
            drop(release);
            held.await.unwrap();
        }
        pool.run(|_| Ok(())).await.unwrap();
        assert!(was_asked.recv().is_err());
    }

    #[tokio::test]
    async fn the_threads_end_with_the_last_clone() {
        let pool = pool(4);
        let queue = Arc::downgrade(&pool.0.0);
        let clone = pool.clone();
        drop(pool);
        clone.run(|_| Ok(())).await.unwrap();
        drop(clone);
        while queue.strong_count() > 0 {
            thread::yield_now();
        }
    }
}
