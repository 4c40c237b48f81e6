//! Rate limits: how many sign-ups and sign-ins one client network may try over all APIs, and how many letters strangers may
//! have sent to one mailbox.

use std::net::IpAddr;

use crate::config::{Config, Environment, Limit};
use crate::domain::auth::proofs::Purpose;
use crate::domain::emails::Email;
use crate::domain::limits::{Limiter, Who};
use crate::error::{Error, Refusal, Result};
use crate::network::is_local;

/// The limits and what was counted towards them.
#[derive(Debug)]
pub struct RateLimits {
    limiter: Limiter,
    sign_ups: Limit,
    sign_ins: Limit,
    letters: Limit,
    /// In development, programs on the same machine or network try what they like.
    local_is_exempt: bool,
}

impl RateLimits {
    /// Takes the limits of the settings.
    pub fn new(config: &Config, limiter: Limiter) -> Self {
        Self {
            limiter,
            sign_ups: config.auth.sign_ups_per_address,
            sign_ins: config.auth.sign_ins_per_address,
            letters: config.contactbook.limits.letters,
            local_is_exempt: config.environment == Environment::Development,
        }
    }

    /// Counts a sign-up from this address, or that somebody's e-mail address changes: either may send a letter to somebody
    /// who did not ask for one.
    ///
    /// # Errors
    /// `TooManyRequests`.
    pub fn new_email(&self, address: IpAddr) -> Result<()> {
        self.take_at(address, "new-email", self.sign_ups)
    }

    /// Counts a sign-in from this address, before it is known whether it succeeds.
    ///
    /// # Errors
    /// `TooManyRequests`.
    pub fn sign_in(&self, address: IpAddr) -> Result<()> {
        self.take_at(address, "sign-in", self.sign_ins)
    }

    /// Counts a letter that somebody causes who need not be the reader of the mailbox. Letters of each purpose are counted
    /// by themselves.
    ///
    /// # Errors
    /// `TooManyRequests`.
    pub fn letter(&self, purpose: Purpose, email: &Email) -> Result<()> {
        self.take(purpose.word(), Who::mailbox(email), self.letters)
    }

    fn take_at(&self, address: IpAddr, what: &'static str, limit: Limit) -> Result<()> {
        if self.local_is_exempt && is_local(address) {
            Ok(())
        } else {
            self.take(what, address.into(), limit)
        }
    }

    fn take(&self, what: &'static str, who: Who, limit: Limit) -> Result<()> {
        match self.limiter.take(what, who, limit) {
            Ok(_) => Ok(()),
            Err(Error::Refusal(Refusal::RateLimited { count, wait, .. })) => {
                Err(Refusal::TooManyRequests { count, wait }.into())
            }
            Err(error) => Err(error),
        }
    }
}
