//! Reading documents: in processes of their own, a few at one time.

use crate::Cpu;
use bytes::Bytes;
use chaski_api::Result;
use chaski_documents::{
    Document, Hints, Limits,
    isolated::{self, Pool, PoolOptions, Source, WorkerCommand},
};
use std::{path::PathBuf, sync::Arc};

/// Where the bytes of a document are.
#[derive(Debug, Clone)]
pub enum DocumentFile {
    Bytes(Bytes),
    /// A regular file of this server.
    Path(PathBuf),
}

impl DocumentFile {
    fn source(&self) -> Source<'_> {
        match self {
            Self::Bytes(bytes) => Source::Bytes(bytes),
            Self::Path(path) => Source::Path(path),
        }
    }
}

/// Reads documents that strangers sent. Clones share the places.
///
/// These places are not those of [`Cpu`]: reading one document may take minutes, and searches must
/// not wait for it.
#[derive(Clone)]
pub struct Documents {
    places: Cpu,
    /// Without it, documents are read in this process.
    pool: Option<Arc<Pool>>,
}

impl Documents {
    /// In processes that run `command`, at most `at_once` documents at one time.
    pub fn isolated(command: WorkerCommand, at_once: usize) -> Self {
        let options = PoolOptions { workers: at_once, ..PoolOptions::default() };
        Self { places: Cpu::new(at_once), pool: Some(Arc::new(Pool::new(command, options))) }
    }

    /// In this process, one at one time: for tests, and for programs that trust their documents.
    pub fn in_process() -> Self {
        Self { places: Cpu::new(1), pool: None }
    }

    /// Reads a document, and hands it to `then` on the same thread. Goes on to its end when the
    /// caller leaves.
    ///
    /// # Errors
    /// The outer error is a fault of the server, the inner one is about the document: it is of a
    /// kind that is not read, is damaged, passes a limit, or took its process down.
    pub async fn read<T: Send + 'static>(
        &self,
        file: DocumentFile,
        hints: Hints,
        limits: Limits,
        then: impl FnOnce(Document) -> chaski_documents::Result<T> + Send + 'static,
    ) -> Result<chaski_documents::Result<T>> {
        let pool = self.pool.clone();
        let work = move || {
            let document = match &pool {
                Some(pool) => pool.parse(file.source(), &hints, &limits),
                None => isolated::parse_here(file.source(), &hints, &limits),
            }?;
            drop(file);
            then(document)
        };
        self.places.run(work).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_documents::ErrorKind;

    async fn text(documents: &Documents, file: DocumentFile) -> chaski_documents::Result<String> {
        let then = |document: Document| Ok(document.text().to_owned());
        documents.read(file, Hints::name("a.txt"), Limits::default(), then).await.unwrap()
    }

    #[tokio::test]
    async fn documents_are_read_where_it_was_said() {
        let bytes = || DocumentFile::Bytes(Bytes::from_static(b"Some text."));
        assert_eq!(text(&Documents::in_process(), bytes()).await.unwrap(), "Some text.");
        let none = DocumentFile::Path(PathBuf::from("/no/such/file"));
        let error = text(&Documents::in_process(), none).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unreadable);
        // A process that is none cannot read, and this one does not step in for it.
        let command = WorkerCommand::new("/no/such/program", [""; 0]);
        let error = text(&Documents::isolated(command, 1), bytes()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Worker);
    }
}
