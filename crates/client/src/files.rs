//! Files: what is sent as a form, and what is answered as it is.

use crate::{Client, Result};
use bytes::Bytes;
use chaski_api::{
    Endpoint,
    endpoints::files::{AddUploadPart, CreateFile, GetFileContent},
    openai::{FileObject, FilePurpose, UploadPartObject},
};
use serde_json::Map;

/// What separates the parts; the content of a file does not hold it but by design.
const BOUNDARY: &str = "chaski-3b1f5a0c9d7e4f628a1b";

impl Client {
    /// Keeps a file.
    ///
    /// # Errors
    /// See [`crate::Error`].
    pub async fn create_file(
        &self,
        name: &str,
        purpose: FilePurpose,
        content: &[u8],
    ) -> Result<FileObject> {
        let body = form(&[("purpose", purpose.as_str())], "file", name, content);
        self.send_form(&CreateFile::SPEC, Map::new(), &body.0, body.1).await
    }

    /// Adds a part to an upload.
    ///
    /// # Errors
    /// See [`crate::Error`].
    pub async fn add_upload_part(&self, upload: &str, content: &[u8]) -> Result<UploadPartObject> {
        let fields = [("upload_id".to_owned(), upload.into())].into_iter().collect();
        let body = form(&[], "data", "part", content);
        self.send_form(&AddUploadPart::SPEC, fields, &body.0, body.1).await
    }

    /// The content of a file.
    ///
    /// # Errors
    /// See [`crate::Error`].
    pub async fn file_content(&self, file: &str) -> Result<Bytes> {
        let fields = [("file_id".to_owned(), file.into())].into_iter().collect();
        self.fetch(&GetFileContent::SPEC, fields).await
    }
}

/// The media type of a form with these values and this file, and the form.
fn form(values: &[(&str, &str)], name: &str, filename: &str, content: &[u8]) -> (String, Bytes) {
    let mut boundary = BOUNDARY.to_owned();
    while content.windows(boundary.len()).any(|window| window == boundary.as_bytes()) {
        boundary.push('x');
    }
    let mut form = Vec::with_capacity(content.len() + 1024);
    for (name, value) in values {
        let part = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
        form.extend_from_slice(part.as_bytes());
    }
    let filename = filename.replace('"', "%22").replace(['\r', '\n'], " ");
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{filename}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
    );
    form.extend_from_slice(head.as_bytes());
    form.extend_from_slice(content);
    form.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), form.into())
}

#[cfg(test)]
mod tests {
    use super::form;

    #[test]
    fn a_boundary_is_chosen_that_the_content_does_not_hold() {
        let content = format!("a{}b{}xc", super::BOUNDARY, super::BOUNDARY);
        let (media_type, body) =
            form(&[("purpose", "x")], "file", "a\"b\r\n.txt", content.as_bytes());
        let boundary = media_type.split_once('=').unwrap().1;
        let text = String::from_utf8(body.to_vec()).unwrap();
        let parts: Vec<&str> = text.split(&format!("--{boundary}")).collect();
        assert_eq!(parts.len(), 4, "{text}");
        assert!(parts[2].contains("filename=\"a%22b  .txt\""), "{text}");
        assert!(parts[2].ends_with(&format!("{content}\r\n")), "{text}");
    }
}
