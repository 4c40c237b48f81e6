//! A full disk: what is refused, what is done again, and that nothing is half done.

use super::*;

/// A store with room for 40 pages more than the schema takes.
fn small_disk() -> Store {
    store_with(|options| {
        let dir = options.path.parent().unwrap();
        let pages: u32 = other_process(dir).query_row("pragma page_count", [], |row| row.get(0)).unwrap();
        options.max_pages = Some(pages + 40);
    })
}

#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_room_and_never_reads() {
    let store = small_disk();
    let fill = |db: &Write<'_>| {
        let id =
            db.returning("insert into notes (text) values (hex(randomblob(3000))) returning id", [], |row| {
                row.get::<_, i64>(0)
            });
        Ok(id?)
    };
    let mut filled = 0;
    let refusal = loop {
        match store.db.write(fill).await {
            Ok(_) => filled += 1,
            full => break refused(full),
        }
        assert!(filled < 80, "the limit is not kept");
    };
    assert_eq!(refusal, Refusal::StorageFull);
    assert_eq!(store.ids().len(), filled);

    // What may not use the reserve is refused whatever it does, until something that may has made room.
    let halve = |db: &Write<'_>| Ok(db.execute("delete from notes where id % 2 = 0", [])?);
    assert!(store.db.is_full());
    assert_eq!(refused(store.db.write(halve).await), Refusal::StorageFull);
    store.db.write_in(Room::Reserve, halve).await.unwrap();
    store.db.write(fill).await.unwrap();
    assert!(!store.db.is_full());
    assert_eq!(store.ids().len(), filled.div_ceil(2) + 1);
}

#[tokio::test]
async fn a_full_disk_in_one_job_leaves_no_half_of_its_group() {
    let store = small_disk();
    let too_much = "insert into notes (text) values (hex(randomblob(300000)))";
    let (release, held) = store.hold_writer();
    let honest = store.queue(move |db| Ok(db.execute(too_much, [])?));
    let next = store.queue(|db| note(db, 1));
    let ignorant = store.queue(move |db| {
        assert!(db.execute(too_much, []).is_err());
        note(db, 2)
    });
    drop(release);
    // SQLite has ended the whole transaction. It is done again with what may use the reserve, as the first job may.
    assert_eq!(held.join().unwrap().unwrap(), 0);
    assert_eq!(refused(honest.await), Refusal::StorageFull);
    // What a job does after an error that it passes over is not a commit of its own.
    assert!(fault(next.await).contains("rolled back by an earlier error"));
    assert!(fault(ignorant.await).contains("rolled back by an earlier error"));
    assert_eq!(store.ids(), [0]);
    // There is room for what is smaller.
    store.db.write(|db| note(db, 3)).await.unwrap();
    assert_eq!(store.ids(), [0, 3]);
}
