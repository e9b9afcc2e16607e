//! A store that lives and dies with the process.

use crate::{Change, Entry, KvStore, StoreError};
use async_trait::async_trait;
use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
    time::SystemTime,
};

/// A map in memory.
#[derive(Debug, Default)]
pub struct Memory(RwLock<BTreeMap<String, Held>>);

#[derive(Debug)]
struct Held {
    value: String,
    expires: Option<SystemTime>,
}

impl Held {
    fn alive(&self) -> bool {
        self.expires.is_none_or(|expires| expires > SystemTime::now())
    }
}

#[async_trait]
impl KvStore for Memory {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Ok(map.get(key).filter(|held| held.alive()).map(|held| held.value.clone()))
    }

    async fn range(&self, start: &str, end: &str) -> Result<Vec<Entry>, StoreError> {
        if start >= end {
            return Ok(Vec::new());
        }
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Ok(map
            .range::<str, _>((std::ops::Bound::Included(start), std::ops::Bound::Excluded(end)))
            .filter(|(_, held)| held.alive())
            .map(|(key, held)| (key.clone(), held.value.clone()))
            .collect())
    }

    async fn apply(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            match change {
                Change::Set { key, value, expires } => {
                    map.insert(key, Held { value, expires });
                }
                Change::Delete { key } => {
                    map.remove(&key);
                }
            }
        }
        map.retain(|_, held| held.alive());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;

    #[tokio::test]
    async fn memory_keeps_the_contract() {
        crate::contract::key_value(|| async { Memory::default() }).await;
    }
}
