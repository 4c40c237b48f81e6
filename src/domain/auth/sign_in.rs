//! Signing up and in, refreshing, changing the password: the ways that wait for the hashing threads.
//!
//! They are async functions, which the domain has few of: a password is hashed between two transactions, in a bounded
//! pool, so that a flood of sign-ins slows nobody else.

use std::net::IpAddr;
use std::sync::Arc;

use super::passwords::{Password, Verdict, Weakness, weakness};
use super::proofs::{self, Purpose};
use super::sessions::{self, Rotation, Session};
use super::throttle::{self, Attempt, Name};
use super::tokens::{self, Bad, Claims, Kind};
use super::{Auth, Caller, claims};
use crate::audit;
use crate::config::Lifetimes;
use crate::db::{Db, Room, Write};
use crate::domain::users::{self, Login, NewUser, Role, User};
use crate::domain::{accounts, addresses, letters, names, unconfirmed};
use crate::error::{Context, Error, Refusal, Result};
use crate::network::ClientNetwork;

/// What somebody signs in with.
#[derive(Debug)]
pub struct SignIn {
    /// Who he says he is.
    pub login: Login,
    /// The password, as it was typed.
    pub password: Password,
    /// Where the request comes from.
    pub address: IpAddr,
}

/// The tokens of a session.
#[derive(Debug)]
pub struct Tokens {
    /// Opens the APIs.
    pub access: String,
    /// Gets new tokens; APIs without refresh tokens have none.
    pub refresh: Option<String>,
}

impl Auth {
    /// Adds a user with this password, for somebody at `address`. Where the e-mail address must be confirmed, a letter
    /// that asks for it goes into the outbox with the user.
    ///
    /// # Errors
    /// `TooManyRequests` when there were too many sign-ups from there, or too many letters to the mailbox, and then
    /// nothing is hashed or stored; `EmailTaken`, `UsernameTaken`; `Busy`.
    pub async fn sign_up(&self, db: &Db, new: NewUser, password: Password, address: IpAddr) -> Result<User> {
        self.rate_limits.new_email(address)?;
        // Taken names are refused before this costs anything; the transaction that adds the user looks again.
        let now = self.clock.now();
        db.read(|db| names::refuse_taken(db, &new, now))?;
        let confirm = self.must_confirm(&new);
        if confirm {
            self.rate_limits.letter(Purpose::ConfirmEmail, &new.email)?;
        }
        let hash = self.hasher.hash(password, Some(address.into())).await?;
        db.write(move |db| {
            ask_to_confirm(db, &new, confirm)?;
            let user = users::create(db, &new, &hash)?;
            if confirm {
                unconfirmed::await_confirmation(db, &user)?;
            }
            Ok(user)
        })
        .await
    }

    /// Adds a user of any role with this password, for an administrator; otherwise like [`Auth::sign_up`].
    ///
    /// # Errors
    /// Those of [`Auth::write_as`]; `AdminRequired`, `EmailTaken`, `UsernameTaken`.
    pub async fn create_user(
        self: &Arc<Self>,
        db: &Db,
        caller: Caller,
        new: NewUser,
        (role, is_active): (Role, bool),
        password: Password,
        address: IpAddr,
    ) -> Result<User> {
        let now = self.clock.now();
        db.read(|db| names::refuse_taken(db, &new, now))?;
        let hash = self.hasher.hash(password, Some(address.into())).await?;
        let confirm = self.must_confirm(&new);
        self.write_as(db, caller, Room::Free, move |db| {
            let admin = db.admin()?;
            ask_to_confirm(db, &new, confirm)?;
            users::create_as_admin(db, &admin, &new, role, is_active, &hash)
        })
        .await
    }

    fn must_confirm(&self, new: &NewUser) -> bool {
        new.confirm_required || self.settings.require_confirmed_email
    }

    /// Signs a user in and begins a session.
    ///
    /// An unknown user and a wrong password are refused alike and in the same time. Only after a right password
    /// is the user's state looked at.
    ///
    /// # Errors
    /// `TooManyRequests`, before anything is looked up; `WrongCredentials`, `TooManyAttempts`, what shuts the user out,
    /// `Busy`.
    pub async fn sign_in(self: &Arc<Self>, db: &Db, given: SignIn, lifetimes: Lifetimes) -> Result<Tokens> {
        self.rate_limits.sign_in(given.address)?;
        let known = db.read(|db| users::with_password(db, &given.login)).context("looking the user up")?;
        let attempt = attempt_at(known.as_ref(), &given.login, given.address);
        let network = Some(given.address.into());
        let outdated = self.prove(db, attempt, given.password.clone(), network, known.as_ref()).await?;
        let Some((user, stored)) = known else { return Err(Refusal::WrongCredentials.into()) };
        let require_confirmed = self.settings.require_confirmed_email;
        if let Some(refusal) = user.shut_out(require_confirmed) {
            audit!(info, user.id = user.id.0, "sign-in refused: {refusal:?}");
            return Err(refusal.into());
        }
        let rehashed = if outdated { Some(self.hasher.hash(given.password, network).await?) } else { None };
        let (id, sessions_max) = (self.clock.new_secret_id(), self.settings.sessions_per_user);
        let session = db
            .write_in(Room::Reserve, move |db| {
                // The user may have changed while the password was hashed.
                let user = match users::with_password(db, &Login::Email(user.email.clone()))? {
                    Some((now, hash)) if now.id == user.id && hash == stored => now,
                    _ => return Err(Refusal::WrongCredentials.into()),
                };
                if let Some(refusal) = user.shut_out(require_confirmed) {
                    return Err(refusal.into());
                }
                if let Some(hash) = &rehashed {
                    users::replace_hash(db, user.id, hash)?;
                }
                throttle::forgive(db, user.id, &attempt)?;
                accounts::note_activity(db, &[(user.id, db.now)])?;
                sessions::open(db, &user, id, lifetimes, sessions_max)
            })
            .await?;
        audit!(info, user.id = session.user_id.0, session.id = %session.id, "signed in");
        self.tokens(&session, lifetimes)
    }

    /// Takes a refresh token and gives the next pair. One that was spent before ends its session.
    pub async fn refresh(&self, db: &Db, token: &str, lifetimes: Lifetimes) -> Result<Tokens> {
        let given = self.verify_refresh(token)?;
        let grace = self.settings.refresh_reuse();
        let require_confirmed = self.settings.require_confirmed_email;
        let rotation = db
            .write_in(Room::Reserve, move |db| {
                sessions::rotate(db, &given, lifetimes, grace, require_confirmed)
            })
            .await?;
        match rotation {
            Rotation::Goes(session) => {
                audit!(info, user.id = session.user_id.0, session.id = %session.id, "refresh token rotated");
                self.tokens(&session, lifetimes)
            }
            Rotation::Reused => Err(Refusal::RefreshRevoked.into()),
        }
    }

    fn verify_refresh(&self, token: &str) -> Result<Claims> {
        let given =
            tokens::verify(&self.ring(), &self.names, token, self.clock.now()).map_err(|bad| match bad {
                Bad::Expired => Refusal::RefreshExpired,
                Bad::Undecodable => Refusal::RefreshInvalid,
            })?;
        if given.typ == Kind::Refresh { Ok(given) } else { Err(Refusal::RefreshWrongKind.into()) }
    }

    /// Changes the password of whoever proves the present one. Every token of the user dies.
    ///
    /// It counts as a sign-in: unknown users and wrong passwords are refused alike as `WrongPassword`, in the same
    /// time, and only after a right password is the user's state looked at. `unfit` says what is wrong with the
    /// new password, knowing whose it is to be. Where a token came along, it must still be good when the password
    /// changes; without one this counts towards the limit of sign-ins.
    pub async fn change_password<E: From<Error>>(
        self: &Arc<Self>,
        db: &Db,
        by: Option<Caller>,
        given: SignIn,
        new: Password,
        unfit: impl FnOnce(Weakness) -> E,
    ) -> Result<(), E> {
        if by.is_none() {
            self.rate_limits.sign_in(given.address)?;
        }
        let known = db.read(|db| users::with_password(db, &given.login))?;
        let attempt = attempt_at(known.as_ref(), &given.login, given.address);
        let network = Some(given.address.into());
        self.prove(db, attempt, given.password, network, known.as_ref()).await.map_err(wrong_password)?;
        let Some((user, stored)) = known else { return Err(Error::from(Refusal::WrongPassword).into()) };
        let require_confirmed = self.settings.require_confirmed_email;
        if let Some(refusal) = user.shut_out(require_confirmed) {
            return Err(Error::from(refusal).into());
        }
        self.refuse_weak(&user, &new, unfit)?;
        let id = user.id;
        let hash = self.hasher.hash(new, network).await?;
        let auth = self.clone();
        db.write_in(Room::Reserve, move |db| {
            if let Some(caller) = &by {
                auth.authorize(db, caller)?;
            }
            // The user may have changed while the password was hashed.
            let user = match users::with_password(db, &given.login)? {
                Some((now, present)) if now.id == id && present == stored => now,
                _ => return Err(Refusal::WrongPassword.into()),
            };
            if let Some(refusal) = user.shut_out(require_confirmed) {
                return Err(refusal.into());
            }
            throttle::forgive(db, id, &attempt)?;
            users::set_password(db, id, &hash)
        })
        .await?;
        audit!(info, user.id = id.0, "password changed");
        Ok(())
    }

    /// Sets a new password by a mailed proof: one to reset it, or one that puts an address back, which happens as well.
    /// Every token of the user dies, and every other proof; no address but this one is familiar any longer. Failed
    /// sign-ins of others keep whoever has the proof no longer waiting.
    ///
    /// `unfit` says what is wrong with the new password, knowing whose it is to be.
    ///
    /// # Errors
    /// `ProofInvalid`, before anything is hashed.
    pub async fn set_password_by_proof<E: From<Error>>(
        &self,
        db: &Db,
        purpose: Purpose,
        proof: String,
        new: Password,
        address: IpAddr,
        unfit: impl FnOnce(Weakness) -> E,
    ) -> Result<(), E> {
        let now = self.clock.now();
        let (user, email) = db.read(|db| proofs::holder(db, purpose, &proof, now))?;
        self.refuse_weak(&User { email, ..user.clone() }, &new, unfit)?;
        let hash = self.hasher.hash(new, Some(address.into())).await?;
        let id = user.id;
        // Whichever name the user signs in by.
        let attempts =
            [Name::Email, Name::Username].map(|name| Attempt::new(user.uuid.as_bytes(), name, address));
        db.write_in(Room::Reserve, move |db| {
            match purpose {
                Purpose::RestoreEmail => addresses::restore(db, &proof, &hash)?,
                _ => proofs::reset_password(db, &proof, &hash)?,
            };
            attempts.iter().try_for_each(|attempt| throttle::forgive(db, id, attempt))
        })
        .await?;
        match purpose {
            Purpose::RestoreEmail => audit!(info, user.id = id.0, "address put back and password reset"),
            _ => audit!(info, user.id = id.0, "password reset"),
        }
        Ok(())
    }

    /// Holds a password against the caller's own, for a change that a token alone is not enough for. It counts as a
    /// sign-in.
    ///
    /// # Errors
    /// `WrongPassword`, `TooManyAttempts`.
    pub async fn confirm_password(
        self: &Arc<Self>,
        db: &Db,
        caller: &Caller,
        password: Password,
        address: IpAddr,
    ) -> Result<()> {
        let login = Login::Email(db.read(|db| users::own(db, caller))?.email);
        let known = db.read(|db| users::with_password(db, &login))?;
        let attempt = attempt_at(known.as_ref(), &login, address);
        self.prove(db, attempt, password, Some(address.into()), known.as_ref())
            .await
            .map(drop)
            .map_err(wrong_password)
    }

    /// Checks a password within the limits for failed ones; whether its hash is outdated.
    async fn prove(
        self: &Arc<Self>,
        db: &Db,
        attempt: Attempt,
        password: Password,
        network: Option<ClientNetwork>,
        known: Option<&(User, String)>,
    ) -> Result<bool> {
        let in_time = {
            let (auth, db) = (self.clone(), db.clone());
            move || db.read(|db| throttle::refuse_too_soon(db, auth.clock.now(), &auth.settings, &attempt))
        };
        // Once before the queue, so that a refusal is cheap, and once at its turn, so that a burst slips not by.
        in_time().inspect_err(|_| {
            audit!(info, user.id = known.map(|(user, _)| user.id.0), "sign-in refused: too soon");
        })?;
        let stored = known.map(|(_, hash)| hash.clone());
        match self.hasher.verify(password, stored, network, in_time).await? {
            Verdict::Right { outdated } => Ok(outdated),
            Verdict::Wrong => {
                audit!(info, user.id = known.map(|(user, _)| user.id.0), "sign-in failed: wrong password");
                db.write_in(Room::Reserve, move |db| throttle::count_failure(db, &attempt))
                    .await
                    .context("counting the failure")?;
                Err(Refusal::WrongCredentials.into())
            }
        }
    }

    /// Refuses a password that is weak, or the user's own address, or a name that the user signs in or is called by.
    fn refuse_weak<E>(
        &self,
        user: &User,
        new: &Password,
        unfit: impl FnOnce(Weakness) -> E,
    ) -> Result<(), E> {
        let names = [&user.username, &user.display_name].map(|name| name.as_deref().unwrap_or_default());
        let own = [user.email.as_str(), names[0], names[1]];
        weakness(new.as_str(), &own, self.common_passwords).map_or(Ok(()), |weakness| Err(unfit(weakness)))
    }

    /// Signs a session's tokens. For one session, number and moment the refresh token is always the same text.
    fn tokens(&self, session: &Session, lifetimes: Lifetimes) -> Result<Tokens> {
        let ring = self.ring();
        let from = session.refreshed_at.seconds();
        let access = claims(
            &self.names,
            Kind::Access,
            session,
            self.clock.new_secret_id(),
            self.clock.now().seconds(),
            lifetimes.access,
        );
        let refresh = lifetimes.refresh.map(|lifetime| {
            tokens::sign(
                &ring,
                &claims(&self.names, Kind::Refresh, session, session.refresh_jti(), from, lifetime),
            )
        });
        Ok(Tokens { access: tokens::sign(&ring, &access)?, refresh: refresh.transpose()? })
    }
}

/// Posts the letter that asks a new user to confirm the address, if that must be confirmed.
fn ask_to_confirm(db: &Write, new: &NewUser, must_confirm: bool) -> Result<()> {
    if must_confirm { letters::post(db, Purpose::ConfirmEmail, &new.email) } else { Ok(()) }
}

/// What a wrong password is to somebody who does not sign in with it.
fn wrong_password(error: Error) -> Error {
    match error {
        Error::Refusal(Refusal::WrongCredentials) => Refusal::WrongPassword.into(),
        other => other,
    }
}

/// An unknown account is counted by the name it was called by, a known one by what it is.
fn attempt_at(known: Option<&(User, String)>, login: &Login, address: IpAddr) -> Attempt {
    let name = if login.is_username() { Name::Username } else { Name::Email };
    match known {
        Some((user, _)) => Attempt::new(user.uuid.as_bytes(), name, address),
        None => Attempt::new(login.key().as_bytes(), name, address),
    }
}
