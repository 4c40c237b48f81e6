//! Authority: what a caller may do is judged where the write happens, inside its transaction.
//!
//! A caller is authenticated before a write waits in the queue, and may lose every right meanwhile. So a write for
//! somebody is done with a [`WriteAs`], and only [`Auth::write_as`] makes one: from the caller as the database has the
//! user and the session in this transaction. They are read again only when the version of the user's state has moved
//! since the caller was authenticated, or when an earlier job of the same commit announced the user.

use std::ops::Deref;
use std::sync::Arc;

use super::{Admin, Auth, Caller, known, sessions};
use crate::db::{Db, Room, Write};
use crate::error::Result;

/// The right to write for a caller whose authority holds in this transaction.
pub struct WriteAs<'w> {
    write: &'w Write<'w>,
    caller: Caller,
}

impl WriteAs<'_> {
    /// The caller, as of this transaction.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The right of an administrator.
    ///
    /// # Errors
    /// `AdminRequired`.
    pub fn admin(&self) -> Result<Admin> {
        self.caller.require_admin()?;
        Ok(Admin(Some(self.caller.id)))
    }
}

impl<'w> Deref for WriteAs<'w> {
    type Target = Write<'w>;

    fn deref(&self) -> &Write<'w> {
        self.write
    }
}

impl Auth {
    /// Writes for a caller: [`Db::write_in`] this room with the caller's authority as of the transaction.
    ///
    /// # Errors
    /// Those of [`Db::write_in`]; `TokenRevoked`, `TokenOfInactive` or `TokenOfUnconfirmed` when the caller lost the
    /// authority since it was authenticated: then `f` is not run.
    pub async fn write_as<T: Send + 'static>(
        self: &Arc<Self>,
        db: &Db,
        caller: Caller,
        room: Room,
        f: impl Fn(&WriteAs<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let auth = Arc::clone(self);
        db.write_in(room, move |write| f(&auth.authorize(write, &caller)?)).await
    }

    /// The right to write for this caller, if the authority holds in this transaction.
    pub(super) fn authorize<'w>(&self, write: &'w Write<'w>, caller: &Caller) -> Result<WriteAs<'w>> {
        let is_current = caller.state_version == self.known.state_version(caller.uuid)
            && !write.is_announced(known::key_of(caller.uuid));
        let caller = if is_current {
            *caller
        } else {
            let require_confirmed = self.settings.require_confirmed_email;
            let now = sessions::caller(write, caller.uuid, caller.session, caller.epoch, require_confirmed)?;
            if caller.must_be_confirmed { now.confirmed_only()? } else { now }
        };
        Ok(WriteAs { write, caller })
    }
}
