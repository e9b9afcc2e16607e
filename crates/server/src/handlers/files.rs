//! Files and uploads.

use crate::{
    app::App,
    body::ResponseBody,
    multipart::Form,
    pipeline::Unread,
    routes::Routes,
    streamed::{self, Asked},
};
use chaski_api::{
    Error, Reader, Result, Wire,
    endpoints::files::{
        AddUploadPart, CancelUpload, CompleteUpload, CreateFile, CreateUpload, DeleteFile, GetFile,
        GetFileContent, ListFiles,
    },
    openai::{AddUploadPartRequest, CreateFileRequest, LARGEST_PART},
};
use chaski_provider::Context;
use chaski_stack::files::{Incoming, NewFile};
use http::Response;
use serde_json::{Map, Value};

/// The longest value of a part that is no file.
const VALUE: usize = 1024;

pub(super) fn register(routes: &mut Routes) {
    routes.raw::<CreateFile, _, _>(create);
    routes.on::<ListFiles, _, _>(|app, cx, request| async move {
        app.stack.files.list(&cx, request).await
    });
    routes.on::<GetFile, _, _>(|app, cx, request| async move {
        app.stack.files.get(&cx, &request.file_id).await
    });
    routes.raw::<GetFileContent, _, _>(|app, cx, asked| async move {
        let content = app.stack.files.content(&cx, asked.parameter("file_id")).await?;
        Ok(streamed::file(content, &asked.headers).await?)
    });
    routes.on::<DeleteFile, _, _>(|app, cx, request| async move {
        app.stack.files.delete(&cx, &request.file_id).await
    });
    routes.on::<CreateUpload, _, _>(|app, cx, request| async move {
        app.stack.files.create_upload(&cx, request).await
    });
    routes.raw::<AddUploadPart, _, _>(add_part);
    routes.on::<CompleteUpload, _, _>(|app, cx, request| async move {
        app.stack.files.complete_upload(&cx, request).await
    });
    routes.on::<CancelUpload, _, _>(|app, cx, request| async move {
        app.stack.files.cancel_upload(&cx, &request.upload_id).await
    });
}

async fn create(app: App, cx: Context, asked: Asked) -> Result<Response<ResponseBody>, Unread> {
    let files = &app.stack.files;
    let mut form = asked.into_form(&app, files.largest())?;
    let (received, fields) = receive(&mut form, "file", || files.incoming()).await?;
    let request: CreateFileRequest = read(fields)?;
    let Some((incoming, filename)) = received else { return Err(no_file("file").into()) };
    let CreateFileRequest { file: _, purpose, expires_after } = request;
    let new = NewFile { filename, purpose, expires_after };
    let file = files.create(&cx, incoming, new).await?;
    Ok(streamed::json(&file)?)
}

async fn add_part(app: App, cx: Context, asked: Asked) -> Result<Response<ResponseBody>, Unread> {
    let files = &app.stack.files;
    let upload = asked.parameter("upload_id").to_owned();
    let mut form = asked.into_form(&app, LARGEST_PART)?;
    let begin = || files.incoming_part(&cx, &upload);
    let (received, mut fields) = receive(&mut form, "data", begin).await?;
    fields.insert("upload_id".to_owned(), upload.as_str().into());
    let _: AddUploadPartRequest = read(fields)?;
    let Some((incoming, _)) = received else { return Err(no_file("data").into()) };
    let part = files.add_part(&cx, &upload, incoming).await?;
    Ok(streamed::json(&part)?)
}

/// Reads a form: the part called `file` goes to the disk, the others are the fields.
async fn receive<F: Future<Output = Result<Incoming>>>(
    form: &mut Form,
    file: &str,
    begin: impl Fn() -> F,
) -> Result<(Option<(Incoming, String)>, Map<String, Value>), Unread> {
    let mut received = None;
    let mut fields = Map::new();
    while let Some(part) = form.next().await? {
        if part.name == file {
            if received.is_some() {
                let message = format!("there are several parts `{file}`; send one");
                return Err(Error::invalid(message).with_param(file).into());
            }
            let mut incoming = begin().await?;
            while let Some(piece) = form.chunk().await? {
                incoming.write(&piece).await?;
            }
            fields.insert(part.name, Value::String(String::new()));
            received = Some((incoming, part.filename.unwrap_or_default()));
        } else {
            let value = form.text(&part.name, VALUE).await?;
            place(&mut fields, &part.name, value);
        }
    }
    Ok((received, fields))
}

/// Puts a value where its name says: `a[b]` is the member `b` of `a`.
fn place(fields: &mut Map<String, Value>, name: &str, value: String) {
    let nested = name.strip_suffix(']').and_then(|name| name.split_once('['));
    match nested {
        Some((outer, inner)) => {
            let member = fields.entry(outer).or_insert_with(|| Map::new().into());
            if let Value::Object(members) = member {
                members.insert(inner.to_owned(), value.into());
            }
        }
        None => drop(fields.insert(name.to_owned(), value.into())),
    }
}

fn read<T: Wire>(fields: Map<String, Value>) -> Result<T> {
    let mut reader = Reader::rooted("body");
    let request = T::read(fields.into(), &mut reader);
    reader.finish(request).map_err(Error::malformed)
}

fn no_file(name: &str) -> Error {
    Error::invalid(format!("the form has no part `{name}` with the file")).with_param(name)
}
