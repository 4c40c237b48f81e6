//! Queues: one client network leaves room for others in those to the writer and to the readers.

use std::net::IpAddr;

use satchel::scope::Scope;

use super::*;

/// A request from `192.0.2.<last>`.
fn from(last: u8) -> Scope {
    Scope::new(String::from("r"), IpAddr::from([192, 0, 2, last]).into(), None)
}

#[tokio::test]
async fn one_client_network_does_not_fill_the_queue_of_the_writer() {
    let store = store_with(|options| options.queue = 8);
    let (release, held) = store.hold_writer();
    let write = |last, id| -> Answer<i64> {
        let db = store.db.clone();
        Box::pin(from(last).run(async move { db.write(move |db| note(db, id)).await }))
    };
    let mut waiting: Vec<_> = (1..=8).map(|id| write(1, id)).collect();
    let were_refused: Vec<_> = waiting.iter_mut().map(poll).map(|polled| polled.is_ready()).collect();
    assert_eq!(were_refused, [false, false, false, false, true, true, true, true]);
    waiting.truncate(4);
    waiting.extend([write(2, 5), write(3, 6)]);
    assert!(waiting[4..].iter_mut().all(|answer| poll(answer).is_pending()), "others find room");
    drop(release);
    held.join().unwrap().unwrap();
    for answer in waiting {
        answer.await.unwrap();
    }
    assert_eq!(write(1, 7).await.unwrap(), 7);
    assert_eq!(store.ids(), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn one_client_network_does_not_fill_the_queue_of_the_readers() {
    let store = store_with(|options| (options.queue, options.scan_threads) = (8, 1));
    let (started, has_started) = channel();
    let (release, released) = channel::<()>();
    let db = store.db.clone();
    let mut held: Answer<()> = Box::pin(async move {
        let wait = move |_: &Read<'_>| {
            started.send(()).ok();
            released.recv_timeout(SOON).ok();
            Ok(())
        };
        db.scan(wait).await
    });
    assert!(poll(&mut held).is_pending());
    has_started.recv_timeout(SOON).unwrap();
    let scan = |last| -> Answer<Vec<i64>> {
        let db = store.db.clone();
        Box::pin(from(last).run(async move { db.scan(ids).await }))
    };
    let mut waiting: Vec<_> = (0..8).map(|_| scan(1)).collect();
    let were_refused: Vec<_> = waiting.iter_mut().map(poll).map(|polled| polled.is_ready()).collect();
    assert_eq!(were_refused, [false, false, false, false, true, true, true, true]);
    waiting.truncate(4);
    waiting.extend([scan(2), scan(3)]);
    assert!(waiting[4..].iter_mut().all(|answer| poll(answer).is_pending()), "others find room");
    drop(release);
    held.await.unwrap();
    for answer in waiting {
        assert!(answer.await.unwrap().is_empty());
    }
    assert!(scan(1).await.unwrap().is_empty());
}
