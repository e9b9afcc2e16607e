//! Limits of files, as a run configuration says them.

use chaski_api::wire::AtLeast;

chaski_api::wire! {
    /// Limits of files.
    pub struct FilesConfig {
        /// The largest file that comes in one piece, in bytes; larger ones come as uploads, in
        /// parts.
        pub max_bytes: AtLeast<1> = DEFAULT_MAX_BYTES,
    }
}

/// 512 MB, as OpenAI has it.
const DEFAULT_MAX_BYTES: AtLeast<1> = chaski_api::wire::Between(512 << 20);

impl Default for FilesConfig {
    fn default() -> Self {
        Self { max_bytes: DEFAULT_MAX_BYTES }
    }
}
