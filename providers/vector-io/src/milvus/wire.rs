//! The messages of Milvus' gRPC API, as far as they are used here. Names and numbers are those of
//! `milvus.proto`, `schema.proto` and `common.proto`.

use prost::{Enumeration, Message, Oneof};

#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub(super) enum DataType {
    None = 0,
    Int64 = 5,
    VarChar = 21,
    Array = 22,
    Json = 23,
    FloatVector = 101,
    SparseFloatVector = 104,
}

/// The type of a function that makes sparse vectors of texts.
pub(super) const BM25: i32 = 1;
/// The only kind of condition.
pub(super) const BOOL_EXPR: i32 = 1;
pub(super) const LOADED: i32 = 3;

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Status {
    /// The code of older versions.
    #[prost(int32, tag = "1")]
    pub(super) error_code: i32,
    #[prost(string, tag = "2")]
    pub(super) reason: String,
    #[prost(int32, tag = "3")]
    pub(super) code: i32,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

impl KeyValue {
    pub(super) fn new(key: &str, value: &dyn ToString) -> Self {
        Self { key: key.to_owned(), value: value.to_string() }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FieldSchema {
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(bool, tag = "3")]
    pub(super) is_primary_key: bool,
    #[prost(enumeration = "DataType", tag = "5")]
    pub(super) data_type: i32,
    #[prost(message, repeated, tag = "6")]
    pub(super) type_params: Vec<KeyValue>,
    #[prost(enumeration = "DataType", tag = "10")]
    pub(super) element_type: i32,
    #[prost(bool, tag = "16")]
    pub(super) is_function_output: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct FunctionSchema {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int32, tag = "4")]
    pub(super) r#type: i32,
    #[prost(string, repeated, tag = "5")]
    pub(super) input_field_names: Vec<String>,
    #[prost(string, repeated, tag = "7")]
    pub(super) output_field_names: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CollectionSchema {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) description: String,
    #[prost(message, repeated, tag = "4")]
    pub(super) fields: Vec<FieldSchema>,
    #[prost(message, repeated, tag = "7")]
    pub(super) functions: Vec<FunctionSchema>,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct CreateCollection {
    #[prost(string, tag = "2")]
    pub(super) db_name: String,
    #[prost(string, tag = "3")]
    pub(super) collection_name: String,
    /// An encoded [`CollectionSchema`].
    #[prost(bytes = "vec", tag = "4")]
    pub(super) schema: Vec<u8>,
    #[prost(int32, tag = "6")]
    pub(super) consistency_level: i32,
}

/// A request that names a collection and nothing else: to describe, to load or to drop it.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Named {
    #[prost(string, tag = "2")]
    pub(super) db_name: String,
    #[prost(string, tag = "3")]
    pub(super) collection_name: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct GetLoadState {
    #[prost(string, tag = "2")]
    pub(super) collection_name: String,
    #[prost(string, tag = "4")]
    pub(super) db_name: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct LoadState {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<Status>,
    #[prost(int32, tag = "2")]
    pub(super) state: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Description {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<Status>,
    #[prost(message, optional, tag = "2")]
    pub(super) schema: Option<CollectionSchema>,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct CreateIndex {
    #[prost(string, tag = "2")]
    pub(super) db_name: String,
    #[prost(string, tag = "3")]
    pub(super) collection_name: String,
    #[prost(string, tag = "4")]
    pub(super) field_name: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) extra_params: Vec<KeyValue>,
    #[prost(string, tag = "6")]
    pub(super) index_name: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub(super) struct GetVersion {}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Version {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<Status>,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Strings {
    #[prost(string, repeated, tag = "1")]
    pub(super) data: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Longs {
    #[prost(int64, repeated, tag = "1")]
    pub(super) data: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Floats {
    #[prost(float, repeated, tag = "1")]
    pub(super) data: Vec<f32>,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Jsons {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(super) data: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Arrays {
    #[prost(message, repeated, tag = "1")]
    pub(super) data: Vec<ScalarField>,
    #[prost(enumeration = "DataType", tag = "2")]
    pub(super) element_type: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ScalarField {
    #[prost(oneof = "Scalars", tags = "3, 6, 8, 9")]
    pub(super) data: Option<Scalars>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Scalars {
    #[prost(message, tag = "3")]
    Longs(Longs),
    #[prost(message, tag = "6")]
    Strings(Strings),
    #[prost(message, tag = "8")]
    Arrays(Arrays),
    #[prost(message, tag = "9")]
    Jsons(Jsons),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct VectorField {
    #[prost(int64, tag = "1")]
    pub(super) dim: i64,
    #[prost(message, optional, tag = "2")]
    pub(super) float_vector: Option<Floats>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FieldData {
    #[prost(enumeration = "DataType", tag = "1")]
    pub(super) r#type: i32,
    #[prost(string, tag = "2")]
    pub(super) field_name: String,
    #[prost(oneof = "Field", tags = "3, 4")]
    pub(super) field: Option<Field>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Field {
    #[prost(message, tag = "3")]
    Scalars(ScalarField),
    #[prost(message, tag = "4")]
    Vectors(VectorField),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Upsert {
    #[prost(string, tag = "2")]
    pub(super) db_name: String,
    #[prost(string, tag = "3")]
    pub(super) collection_name: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) fields_data: Vec<FieldData>,
    #[prost(uint32, tag = "7")]
    pub(super) num_rows: u32,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Delete {
    #[prost(string, tag = "2")]
    pub(super) db_name: String,
    #[prost(string, tag = "3")]
    pub(super) collection_name: String,
    #[prost(string, tag = "5")]
    pub(super) expr: String,
    #[prost(int32, tag = "7")]
    pub(super) consistency_level: i32,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Mutation {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<Status>,
    /// When the change was made, for the level of consistency `Session`.
    #[prost(uint64, tag = "9")]
    pub(super) timestamp: u64,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Placeholder {
    #[prost(string, tag = "1")]
    pub(super) tag: String,
    #[prost(enumeration = "DataType", tag = "2")]
    pub(super) r#type: i32,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub(super) values: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Placeholders {
    #[prost(message, repeated, tag = "1")]
    pub(super) each: Vec<Placeholder>,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Search {
    #[prost(string, tag = "2")]
    pub(super) db_name: String,
    #[prost(string, tag = "3")]
    pub(super) collection_name: String,
    /// The condition.
    #[prost(string, tag = "5")]
    pub(super) dsl: String,
    /// Encoded [`Placeholders`].
    #[prost(bytes = "vec", tag = "6")]
    pub(super) placeholder_group: Vec<u8>,
    #[prost(int32, tag = "7")]
    pub(super) dsl_type: i32,
    #[prost(string, repeated, tag = "8")]
    pub(super) output_fields: Vec<String>,
    #[prost(message, repeated, tag = "9")]
    pub(super) params: Vec<KeyValue>,
    #[prost(uint64, tag = "11")]
    pub(super) guarantee_timestamp: u64,
    #[prost(int64, tag = "12")]
    pub(super) nq: i64,
    #[prost(int32, tag = "14")]
    pub(super) consistency_level: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Found {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<Status>,
    #[prost(message, optional, tag = "2")]
    pub(super) results: Option<Hits>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Hits {
    #[prost(message, repeated, tag = "3")]
    pub(super) fields_data: Vec<FieldData>,
    #[prost(float, repeated, tag = "4")]
    pub(super) scores: Vec<f32>,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Query {
    #[prost(string, tag = "2")]
    pub(super) db_name: String,
    #[prost(string, tag = "3")]
    pub(super) collection_name: String,
    #[prost(string, tag = "4")]
    pub(super) expr: String,
    #[prost(string, repeated, tag = "5")]
    pub(super) output_fields: Vec<String>,
    #[prost(uint64, tag = "8")]
    pub(super) guarantee_timestamp: u64,
    #[prost(message, repeated, tag = "9")]
    pub(super) params: Vec<KeyValue>,
    #[prost(int32, tag = "11")]
    pub(super) consistency_level: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Rows {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<Status>,
    #[prost(message, repeated, tag = "2")]
    pub(super) fields_data: Vec<FieldData>,
}

/// An answer, which says first of all whether it is one.
pub(super) trait Answer: Message + Default {
    fn status(&self) -> Option<&Status>;
}

impl Answer for Status {
    fn status(&self) -> Option<&Status> {
        Some(self)
    }
}

/// Answers with a field for it.
macro_rules! answers {
    ($($message:ty),+) => {
        $(impl Answer for $message {
            fn status(&self) -> Option<&Status> {
                self.status.as_ref()
            }
        })+
    };
}
answers!(LoadState, Description, Version, Mutation, Found, Rows);
