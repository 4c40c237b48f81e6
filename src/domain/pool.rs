//! Pool: a few slow threads for work that would hold up answers, with a short queue before them in which client networks
//! take turns.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

pub use super::turns::Rank;
use super::turns::{Ticket, Turns};
use crate::error::{Context, Error, Refusal, Result};
use crate::network::ClientNetwork;

/// How long a thread keeps its memory without work.
const MEMORY_KEEP: Duration = Duration::from_secs(10);
/// How long work may wait for a thread.
const WAIT_MAX: Duration = Duration::from_secs(5);
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
        f.debug_struct("Pool").finish_non_exhaustive()
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

    /// Does the work on one of the threads, for a client of `network`, and waits for its result. Work whose caller goes
    /// away while it waits in the queue is never begun.
    ///
    /// # Errors
    /// What the work returns; `Refusal::Busy` when too many wait (see [`Turns`]), or it waited for 5 s, and then it was
    /// not begun; a fault when it panics.
    pub async fn run<T: Send + 'static>(
        &self,
        rank: Rank,
        network: Option<ClientNetwork>,
        work: impl FnOnce(&mut M) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let queue = &self.0.0;
        let (answer, mut answered) = oneshot::channel();
        let ticket = queue.push(
            rank,
            network,
            Box::new(move |memory| {
                // Nobody may be listening any more.
                let _ = answer.send(memory.and_then(work));
            }),
        );
        // Leaves the queue when this future is not waited for any longer.
        let place = Place { queue, ticket };
        let answer = match timeout(WAIT_MAX, &mut answered).await {
            Ok(answer) => answer,
            Err(_) if place.leave() => Err(Refusal::BUSY)?,
            Err(_) => answered.await,
        };
        answer.unwrap_or_else(|_| Err(Error::fault("work in a pool ended in a panic")))
    }
}

impl<M> Drop for Owner<M> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A job's place in the queue, which it leaves when this is dropped.
struct Place<'a, M> {
    queue: &'a Queue<M>,
    ticket: Ticket,
}

impl<M> Place<'_, M> {
    /// Leaves the queue; whether the job still waited there.
    fn leave(&self) -> bool {
        // Dropped when the lock is free again.
        let job = self.queue.lock().jobs.remove(self.ticket);
        job.is_some()
    }
}

impl<M> Drop for Place<'_, M> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The jobs that wait for a thread.
struct Queue<M> {
    state: Mutex<State<M>>,
    ready: Condvar,
}

struct State<M> {
    jobs: Turns<Job<M>>,
    closed: bool,
}

/// Does its work with a thread's memory, or answers that it cannot be done.
type Job<M> = Box<dyn FnOnce(Result<&mut M>) + Send>;

impl<M> Queue<M> {
    fn new(limit: usize) -> Self {
        Self { state: Mutex::new(State { jobs: Turns::new(limit), closed: false }), ready: Condvar::new() }
    }

    fn push(&self, rank: Rank, network: Option<ClientNetwork>, job: Job<M>) -> Ticket {
        let (ticket, left) = self.lock().jobs.push(rank, network, job);
        match left {
            Some(job) => job(Err(Refusal::BUSY.into())),
            None => self.ready.notify_one(),
        }
        ticket
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
            let memory = memory.get_or_insert_with(M::default);
            // A panic drops the caller's channel, which answers the caller, and costs this one job.
            let _ = catch_unwind(AssertUnwindSafe(|| job(Ok(memory))));
        }
    }

    /// Waits for a job, and gives the memory back when none comes for a while.
    fn next(&self, memory: &mut Option<M>) -> Option<Job<M>> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop() {
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
            match pool.run(Rank::First, None, |_| -> Result<()> { panic!("as the test wants it") }).await {
                Err(Error::Fault(fault)) => assert!(fault.to_string().contains("panic"), "{fault}"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(pool.run(Rank::First, None, |_| Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_thread_keeps_its_memory_from_job_to_job() {
        let pool = pool(4);
        pool.run(Rank::First, None, |memory| {
            memory.push(1);
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(pool.run(Rank::First, None, |memory| Ok(memory.clone())).await.unwrap(), [1]);
    }

    #[tokio::test]
    async fn a_full_queue_is_busy_until_a_waiting_caller_leaves_or_is_served() {
        let pool = pool(1);
        let (begun, has_begun) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let run = |work: Box<dyn FnOnce() + Send>| {
            let pool = pool.clone();
            tokio::spawn(async move {
                pool.run(Rank::First, None, |_| {
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
        let held = pool.run(Rank::First, None, move |_| {
            let _ = released.recv();
            Ok(())
        });
        let left = pool.run(Rank::First, None, move |_| {
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
        pool.run(Rank::First, None, |_| Ok(())).await.unwrap();
        assert!(was_asked.recv().is_err());
    }

    /// A thread that is kept busy until the sender goes.
    fn hold(pool: &Pool<Vec<u8>>) -> (mpsc::Sender<()>, impl Future<Output = Result<u8>> + use<>) {
        let (release, released) = mpsc::channel::<()>();
        let pool = pool.clone();
        let held = async move {
            pool.run(Rank::First, None, move |_| {
                let _ = released.recv();
                Ok(1)
            })
            .await
        };
        (release, held)
    }

    /// Waits for the thread to take what was just sent.
    async fn until_begun(pool: &Pool<Vec<u8>>) {
        tokio::task::yield_now().await;
        while !pool.0.0.lock().jobs.is_empty() {
            thread::yield_now();
        }
    }

    #[track_caller]
    fn assert_busy<T: fmt::Debug>(answer: Result<T>) {
        match answer {
            Err(Error::Refusal(refusal)) => assert_eq!(refusal, Refusal::Busy(Duration::from_secs(1))),
            other => panic!("{other:?}"),
        }
    }

    /// The clock goes on by itself whenever there is nothing to do but to wait for it.
    #[tokio::test(start_paused = true)]
    async fn what_has_waited_for_5_seconds_is_busy_and_never_begun() {
        let pool = pool(4);
        let (release, held) = hold(&pool);
        let held = tokio::spawn(held);
        let (asked, was_asked) = mpsc::channel();
        until_begun(&pool).await;
        let begun = tokio::time::Instant::now();
        assert_busy(
            pool.run(Rank::First, None, move |_| asked.send(()).map_err(|error| Error::Fault(error.into())))
                .await,
        );
        assert_eq!(begun.elapsed().as_secs(), 5);
        tokio::time::resume();
        drop(release);
        assert_eq!(held.await.unwrap().unwrap(), 1, "what was begun is done, however long it takes");
        pool.run(Rank::First, None, |_| Ok(())).await.unwrap();
        assert!(was_asked.recv().is_err());
    }

    #[tokio::test]
    async fn a_newcomer_finds_room_and_the_longest_line_loses_its_youngest() {
        let pool = pool(3);
        let (release, held) = hold(&pool);
        let (one, other) = ([192, 0, 2, 1], [192, 0, 2, 2]);
        let (did, done) = mpsc::channel();
        let run = |from: [u8; 4], name: &'static str| {
            let (pool, did) = (pool.clone(), did.clone());
            let network = Some(std::net::IpAddr::from(from).into());
            tokio::spawn(async move {
                pool.run(Rank::First, network, move |_| {
                    did.send(name).map_err(|error| Error::Fault(error.into()))
                })
                .await
            })
        };
        let held = tokio::spawn(held);
        until_begun(&pool).await;
        let flood = [run(one, "a1"), run(one, "a2"), run(one, "a3")];
        tokio::task::yield_now().await;
        let refused = run(one, "a4");
        let newcomer = run(other, "b1");
        tokio::task::yield_now().await;
        assert_busy(refused.await.unwrap());
        drop(release);
        held.await.unwrap().unwrap();
        newcomer.await.unwrap().unwrap();
        let [a1, a2, a3] = flood;
        a1.await.unwrap().unwrap();
        a2.await.unwrap().unwrap();
        assert_busy(a3.await.unwrap());
        drop(did);
        assert_eq!(done.iter().collect::<Vec<_>>(), ["a1", "b1", "a2"]);
    }

    #[tokio::test]
    async fn the_threads_end_with_the_last_clone() {
        let pool = pool(4);
        let queue = Arc::downgrade(&pool.0.0);
        let clone = pool.clone();
        drop(pool);
        clone.run(Rank::First, None, |_| Ok(())).await.unwrap();
        drop(clone);
        while queue.strong_count() > 0 {
            thread::yield_now();
        }
    }
}
