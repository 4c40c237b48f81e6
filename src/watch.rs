//! Watch: the threads and tasks that a process cannot do without, and word of the first that ends.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Word of what has ended. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    first: Mutex<Option<&'static str>>,
    bell: Notify,
}

/// Lives as long as what is watched, and tells of its end, be that a return, a panic or an abort.
#[derive(Debug)]
pub struct Watched {
    watch: Watch,
    name: &'static str,
}

impl Watch {
    /// Watches whoever keeps this.
    pub fn over(&self, name: &'static str) -> Watched {
        Watched { watch: self.clone(), name }
    }

    /// Waits until something that is watched has ended: the name of the first. For one that waits.
    pub async fn ended(&self) -> &'static str {
        loop {
            let first = *self.0.first.lock().unwrap_or_else(PoisonError::into_inner);
            match first {
                Some(name) => return name,
                None => self.0.bell.notified().await,
            }
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let shared = &self.watch.0;
        shared.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(self.name);
        shared.bell.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_that_ends_is_told_however_it_ends_and_whenever_one_asks() {
        let watch = Watch::default();
        let (lives, panics) = (watch.over("what lives on"), watch.over("what panics"));
        let waiting = tokio::spawn({
            let watch = watch.clone();
            async move { watch.ended().await }
        });
        tokio::task::yield_now().await;
        std::thread::spawn(move || {
            let _panics = panics;
            panic!("as the test wants it");
        });
        assert_eq!(waiting.await.unwrap(), "what panics");
        drop(lives);
        assert_eq!(watch.ended().await, "what panics");
    }
}
