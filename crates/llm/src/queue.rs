//! A bounded queue between callers and the thread that works for them, in turns.
//!
//! Callers take turns: one with many requests does not hold up the others. Each caller's own
//! requests keep their order.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// Something that waits and may be given up meanwhile.
pub(crate) trait Wanted {
    /// Whether somebody still waits for it.
    fn wanted(&self) -> bool;
}

/// Why something was not taken into the queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// So many are waiting, which is the most.
    Full { waiting: usize },
    /// Nobody works for the queue any more.
    Closed,
}

pub(crate) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    ready: Condvar,
    most: usize,
}

struct Inner<T> {
    /// The callers who wait, in the order of their turns, each with at least one request.
    turns: VecDeque<(Arc<str>, VecDeque<T>)>,
    waiting: usize,
    closed: bool,
}

impl<T: Wanted> Queue<T> {
    /// An empty queue for at most `most` requests.
    pub(crate) fn new(most: usize) -> Self {
        let inner = Inner { turns: VecDeque::new(), waiting: 0, closed: false };
        Self { inner: Mutex::new(inner), ready: Condvar::new(), most: most.max(1) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a request of `caller` behind those that the same caller has there.
    ///
    /// # Errors
    /// When the queue is full or closed.
    pub(crate) fn push(&self, caller: Arc<str>, item: T) -> Result<(), Refused> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(Refused::Closed);
        }
        if inner.waiting >= self.most {
            inner.drop_unwanted();
        }
        if inner.waiting >= self.most {
            return Err(Refused::Full { waiting: inner.waiting });
        }
        inner.add(caller, item);
        drop(inner);
        self.ready.notify_one();
        Ok(())
    }

    /// Puts a request of `caller`, of which a part is done, behind those of all others.
    pub(crate) fn put_back(&self, caller: Arc<str>, item: T) {
        self.lock().add(caller, item);
        self.ready.notify_one();
    }

    /// The next request and its caller, if there is one.
    pub(crate) fn take(&self) -> Option<(Arc<str>, T)> {
        self.lock().take()
    }

    /// The next request and its caller; waits for one. Nothing once the queue is closed and empty.
    pub(crate) fn wait(&self) -> Option<(Arc<str>, T)> {
        let mut inner = self.lock();
        loop {
            if let Some(item) = inner.take() {
                return Some(item);
            }
            if inner.closed {
                return None;
            }
            inner = self.ready.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting
    }

    /// Takes no more requests. What waits is still served.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
    }

    /// Takes no more requests, and drops those that wait.
    pub(crate) fn abandon(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.waiting = 0;
        let dropped = std::mem::take(&mut inner.turns);
        drop(inner);
        self.ready.notify_all();
        // Outside the lock: a request may hold what closes the queue.
        drop(dropped);
    }
}

impl<T: Wanted> Inner<T> {
    fn add(&mut self, caller: Arc<str>, item: T) {
        self.waiting += 1;
        match self.turns.iter_mut().find(|(known, _)| *known == caller) {
            Some((_, items)) => items.push_back(item),
            None => self.turns.push_back((caller, VecDeque::from([item]))),
        }
    }

    fn take(&mut self) -> Option<(Arc<str>, T)> {
        loop {
            let (caller, mut items) = self.turns.pop_front()?;
            let item = items.pop_front();
            if !items.is_empty() {
                self.turns.push_back((Arc::clone(&caller), items));
            }
            let item = item?;
            self.waiting -= 1;
            if item.wanted() {
                return Some((caller, item));
            }
        }
    }

    fn drop_unwanted(&mut self) {
        for (_, items) in &mut self.turns {
            items.retain(Wanted::wanted);
        }
        self.turns.retain(|(_, items)| !items.is_empty());
        self.waiting = self.turns.iter().map(|(_, items)| items.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Item(&'static str, bool);

    impl Wanted for Item {
        fn wanted(&self) -> bool {
            self.1
        }
    }

    fn filled(items: &[(&str, &'static str)], most: usize) -> Queue<Item> {
        let queue = Queue::new(most);
        for (caller, name) in items {
            queue.push(Arc::from(*caller), Item(name, true)).unwrap();
        }
        queue
    }

    fn order(queue: &Queue<Item>) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.take()).map(|(_, item)| item.0).collect()
    }

    #[test]
    fn callers_take_turns_and_keep_their_own_order() {
        let queue = filled(&[("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1")], 9);
        queue.push(Arc::from("b"), Item("b2", true)).unwrap();
        assert_eq!(order(&queue), ["a1", "b1", "c1", "a2", "b2", "a3"]);
    }

    #[test]
    fn what_is_put_back_goes_behind_the_others_also_in_a_full_queue() {
        let queue = filled(&[("a", "a1"), ("b", "b1")], 2);
        let (caller, item) = queue.take().unwrap();
        queue.push(Arc::from("c"), Item("c1", true)).unwrap();
        queue.put_back(caller, item);
        assert_eq!(order(&queue), ["b1", "c1", "a1"]);
    }

    #[test]
    fn a_full_queue_refuses_and_makes_room_for_those_who_went_away() {
        let queue = filled(&[("a", "a1"), ("b", "b1")], 2);
        let refused = queue.push(Arc::from("c"), Item("c1", true));
        assert_eq!(refused, Err(Refused::Full { waiting: 2 }));
        let queue = Queue::new(2);
        queue.push(Arc::from("a"), Item("gone", false)).unwrap();
        queue.push(Arc::from("b"), Item("b1", true)).unwrap();
        queue.push(Arc::from("c"), Item("c1", true)).unwrap();
        assert_eq!(queue.waiting(), 2);
        assert_eq!(order(&queue), ["b1", "c1"]);
    }

    #[test]
    fn a_closed_queue_serves_what_waits_and_takes_no_more() {
        let queue = filled(&[("a", "a1")], 2);
        queue.close();
        assert_eq!(queue.push(Arc::from("a"), Item("a2", true)), Err(Refused::Closed));
        assert_eq!(queue.wait(), Some((Arc::from("a"), Item("a1", true))));
        assert_eq!(queue.wait(), None);
    }

    #[test]
    fn an_abandoned_queue_drops_what_waits() {
        let queue = filled(&[("a", "a1")], 2);
        queue.abandon();
        assert_eq!(queue.wait(), None);
        assert_eq!(queue.waiting(), 0);
    }
}
