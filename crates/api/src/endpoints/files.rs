//! Files and uploads in OpenAI's form. Each path also answers under `/v1/openai`.

use crate::{
    Api, EndpointSpec, Face, Media,
    openai::{
        AddUploadPartRequest, CompleteUploadRequest, CreateFileRequest, CreateUploadRequest,
        DeletedFile, FileContent, FileList, FileObject, FileRequest, ListFilesRequest,
        UploadObject, UploadPartObject, UploadRequest,
    },
};

endpoints! {
    like EndpointSpec { face: Face::OpenAi, ..EndpointSpec::of(Api::Files) };

    CreateFile(CreateFileRequest) -> FileObject =
        Post "/v1/files", "openai_create_file", "Keeps a file.", takes: Media::Form;

    ListFiles(ListFilesRequest) -> FileList =
        Get "/v1/files", "openai_list_files", "A page of the caller's files.";

    GetFile(FileRequest) -> FileObject =
        Get "/v1/files/{file_id}", "openai_get_file", "What is known about a file.";

    GetFileContent(FileRequest) -> FileContent =
        Get "/v1/files/{file_id}/content", "openai_get_file_content",
        "The content of a file, or a range of it (`Range: bytes=...`).", gives: Media::Bytes;

    DeleteFile(FileRequest) -> DeletedFile =
        Delete "/v1/files/{file_id}", "openai_delete_file", "Removes a file.";

    CreateUpload(CreateUploadRequest) -> UploadObject =
        Post "/v1/uploads", "openai_create_upload", "Begins a file that comes in parts.";

    AddUploadPart(AddUploadPartRequest) -> UploadPartObject =
        Post "/v1/uploads/{upload_id}/parts", "openai_add_upload_part",
        "Adds a part to an upload.", takes: Media::Form;

    CompleteUpload(CompleteUploadRequest) -> UploadObject =
        Post "/v1/uploads/{upload_id}/complete", "openai_complete_upload",
        "Makes a file of the parts of an upload.";

    CancelUpload(UploadRequest) -> UploadObject =
        Post "/v1/uploads/{upload_id}/cancel", "openai_cancel_upload",
        "Gives an upload up; its parts are removed.";
}
