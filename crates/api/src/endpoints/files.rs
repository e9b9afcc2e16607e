//! Files and uploads in OpenAI's form. Each path also answers under `/v1/openai`.

use crate::{
    Api, Described, Endpoint, EndpointSpec, Face, Media, Method,
    openai::{
        AddUploadPartRequest, CompleteUploadRequest, CreateFileRequest, CreateUploadRequest,
        DeletedFile, FileContent, FileList, FileObject, FileRequest, ListFilesRequest,
        UploadObject, UploadPartObject, UploadRequest,
    },
};

const fn spec(
    method: Method,
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
) -> EndpointSpec {
    let spec = EndpointSpec::new(Api::Files, method, path, operation, summary);
    EndpointSpec { face: Face::OpenAi, ..spec }
}

pub struct CreateFile;
impl Endpoint for CreateFile {
    type Request = CreateFileRequest;
    type Response = FileObject;
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec {
        takes: Media::Form,
        ..spec(Method::Post, "/v1/files", "openai_create_file", "Keeps a file.")
    };
}

pub struct ListFiles;
impl Endpoint for ListFiles {
    type Request = ListFilesRequest;
    type Response = FileList;
    type Event = ();
    const SPEC: EndpointSpec =
        spec(Method::Get, "/v1/files", "openai_list_files", "A page of the caller's files.");
}

pub struct GetFile;
impl Endpoint for GetFile {
    type Request = FileRequest;
    type Response = FileObject;
    type Event = ();
    const SPEC: EndpointSpec =
        spec(Method::Get, "/v1/files/{file_id}", "openai_get_file", "What is known about a file.");
}

pub struct GetFileContent;
impl Endpoint for GetFileContent {
    type Request = FileRequest;
    type Response = FileContent;
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec {
        gives: Media::Bytes,
        ..spec(
            Method::Get,
            "/v1/files/{file_id}/content",
            "openai_get_file_content",
            "The content of a file, or a range of it (`Range: bytes=...`).",
        )
    };
}

pub struct DeleteFile;
impl Endpoint for DeleteFile {
    type Request = FileRequest;
    type Response = DeletedFile;
    type Event = ();
    const SPEC: EndpointSpec =
        spec(Method::Delete, "/v1/files/{file_id}", "openai_delete_file", "Removes a file.");
}

pub struct CreateUpload;
impl Endpoint for CreateUpload {
    type Request = CreateUploadRequest;
    type Response = UploadObject;
    type Event = ();
    const SPEC: EndpointSpec = spec(
        Method::Post,
        "/v1/uploads",
        "openai_create_upload",
        "Begins a file that comes in parts.",
    );
}

pub struct AddUploadPart;
impl Endpoint for AddUploadPart {
    type Request = AddUploadPartRequest;
    type Response = UploadPartObject;
    type Event = ();
    const SPEC: EndpointSpec = EndpointSpec {
        takes: Media::Form,
        ..spec(
            Method::Post,
            "/v1/uploads/{upload_id}/parts",
            "openai_add_upload_part",
            "Adds a part to an upload.",
        )
    };
}

pub struct CompleteUpload;
impl Endpoint for CompleteUpload {
    type Request = CompleteUploadRequest;
    type Response = UploadObject;
    type Event = ();
    const SPEC: EndpointSpec = spec(
        Method::Post,
        "/v1/uploads/{upload_id}/complete",
        "openai_complete_upload",
        "Makes a file of the parts of an upload.",
    );
}

pub struct CancelUpload;
impl Endpoint for CancelUpload {
    type Request = UploadRequest;
    type Response = UploadObject;
    type Event = ();
    const SPEC: EndpointSpec = spec(
        Method::Post,
        "/v1/uploads/{upload_id}/cancel",
        "openai_cancel_upload",
        "Gives an upload up; its parts are removed.",
    );
}

pub const ALL: &[Described] = &[
    Described::of::<CreateFile>(),
    Described::of::<ListFiles>(),
    Described::of::<GetFile>(),
    Described::of::<GetFileContent>(),
    Described::of::<DeleteFile>(),
    Described::of::<CreateUpload>(),
    Described::of::<AddUploadPart>(),
    Described::of::<CompleteUpload>(),
    Described::of::<CancelUpload>(),
];
