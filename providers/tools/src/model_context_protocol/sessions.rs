//! The open sessions. One is used again by the same caller with the same credentials, and by nobody
//! else.

use super::{config::Limits, session::Session};
use chaski_api::{Error, Result};
use chaski_provider::Tasks;
use chaski_store::Owner;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Instant,
};

/// Whose a session is, and where it leads. Never logged: the headers are secrets.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) uri: String,
    pub(super) owner: Owner,
    /// Names and values, in the order of the names.
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

/// The place of a session.
struct Slot {
    /// Held while a session is being opened, so that others wait for it.
    session: tokio::sync::Mutex<Option<Arc<Session>>>,
    used: Mutex<Instant>,
}

impl Slot {
    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session that is in use while this lives.
pub(super) struct Lease {
    session: Arc<Session>,
    slot: Arc<Slot>,
}

impl std::ops::Deref for Lease {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.slot.touch();
    }
}

type Slots = HashMap<Key, Arc<Slot>>;

/// The open sessions; clones are the same.
#[derive(Clone)]
pub(super) struct Sessions {
    slots: Arc<Mutex<Slots>>,
    limits: Limits,
    tasks: Tasks,
}

impl Sessions {
    pub(super) fn new(limits: Limits, tasks: Tasks) -> Self {
        Self { slots: Arc::default(), limits, tasks }
    }

    /// The session of `key`, opened if there is none or if it is over.
    ///
    /// # Errors
    /// `Unavailable` if all sessions are in use, and those of `open`.
    pub(super) async fn get(
        &self,
        key: Key,
        open: impl Future<Output = Result<Session>>,
    ) -> Result<Lease> {
        let slot = self.slot(key)?;
        let mut held = slot.session.lock().await;
        let session = match &*held {
            Some(session) if !session.is_over() => Arc::clone(session),
            Some(_) | None => {
                *held = None;
                let session = Arc::new(open.await?);
                *held = Some(Arc::clone(&session));
                session
            }
        };
        drop(held);
        slot.touch();
        Ok(Lease { session, slot })
    }

    /// Closes all sessions.
    pub(super) fn clear(&self) {
        lock(&self.slots).clear();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        lock(&self.slots).len()
    }

    fn slot(&self, key: Key) -> Result<Arc<Slot>> {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(&key) {
            return Ok(Arc::clone(slot));
        }
        if slots.len() >= self.limits.sessions {
            let idle = slots.iter().filter(|(_, slot)| Arc::strong_count(slot) == 1);
            let oldest = idle.min_by_key(|(_, slot)| slot.used()).map(|(key, _)| key.clone());
            let oldest = oldest.ok_or_else(|| {
                let most = self.limits.sessions;
                Error::unavailable(format!(
                    "all {most} sessions with MCP servers are in use; try again, or raise \
                     `max_sessions`"
                ))
            })?;
            slots.remove(&oldest);
        }
        let slot = Arc::new(Slot {
            session: tokio::sync::Mutex::default(),
            used: Mutex::new(Instant::now()),
        });
        slots.insert(key.clone(), Arc::clone(&slot));
        drop(slots);
        self.tasks.spawn(watch(
            Arc::downgrade(&self.slots),
            Arc::downgrade(&slot),
            key,
            self.limits,
        ));
        Ok(slot)
    }
}

/// Removes a slot that has not been used for the time of the configuration.
async fn watch(slots: Weak<Mutex<Slots>>, slot: Weak<Slot>, key: Key, limits: Limits) {
    loop {
        let Some(until) = slot.upgrade().map(|slot| slot.used() + limits.idle) else { return };
        tokio::time::sleep_until(until.into()).await;
        let Some(slots) = slots.upgrade() else { return };
        let mut slots = lock(&slots);
        let Some(found) = slots.get(&key) else { return };
        if !std::ptr::eq(Arc::as_ptr(found), slot.as_ptr()) {
            return;
        }
        if Arc::strong_count(found) > 1 {
            // Whoever uses it touches it again at the end.
            found.touch();
        } else if found.used() + limits.idle <= Instant::now() {
            slots.remove(&key);
            return;
        }
    }
}

fn lock(slots: &Mutex<Slots>) -> std::sync::MutexGuard<'_, Slots> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}
