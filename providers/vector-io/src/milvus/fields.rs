//! The fields of a collection of Milvus, and chunks as its columns.

use super::{
    CHUNK, CHUNK_ID, EXPIRES_AT, FACTS, ID, NAME, NUMBERS, TEXT, VECTOR, WORDS,
    wire::{
        Arrays, BM25, CollectionSchema, DataType, Field, FieldData, FieldSchema, Floats,
        FunctionSchema, Jsons, KeyValue, Longs, Placeholder, ScalarField, Scalars, Strings,
        VectorField,
    },
};
use crate::{
    facts::Facts,
    payload::{self, point_id},
};
use chaski_api::{Error, Result, retrieval::VectorDb};
use chaski_provider::{EmbeddedChunk, Timestamp};
use serde_json::{Map, Value};

/// The most bytes of a text.
const LONGEST: usize = 65535;
/// The most facts of a chunk.
const MOST_FACTS: usize = 4096;

/// The form of a new collection.
pub(super) fn schema(name: &str, db: &VectorDb) -> CollectionSchema {
    let field = |name: &str, kind: DataType, params: &[(&str, String)]| FieldSchema {
        name: name.to_owned(),
        data_type: kind.into(),
        type_params: params.iter().map(|(key, value)| KeyValue::new(key, value)).collect(),
        ..FieldSchema::default()
    };
    let length = |most: usize| ("max_length", most.to_string());
    let text = |name: &str| field(name, DataType::VarChar, &[length(LONGEST)]);
    let analyzed = [length(LONGEST), ("enable_analyzer", "true".to_owned())];
    let facts = [length(64), ("max_capacity", MOST_FACTS.to_string())];
    CollectionSchema {
        name: name.to_owned(),
        description: "chunks of a vector database of Chaski".to_owned(),
        fields: vec![
            FieldSchema { is_primary_key: true, ..field(ID, DataType::VarChar, &[length(64)]) },
            text(CHUNK_ID),
            text(CHUNK),
            field(TEXT, DataType::VarChar, &analyzed),
            field(VECTOR, DataType::FloatVector, &[("dim", db.embedding_dimension.to_string())]),
            FieldSchema {
                is_function_output: true,
                ..field(WORDS, DataType::SparseFloatVector, &[])
            },
            FieldSchema {
                element_type: DataType::VarChar.into(),
                ..field(FACTS, DataType::Array, &facts)
            },
            field(NUMBERS, DataType::Json, &[]),
            field(EXPIRES_AT, DataType::Int64, &[]),
        ],
        functions: vec![FunctionSchema {
            name: "words_of_text".to_owned(),
            r#type: BM25,
            input_field_names: vec![TEXT.to_owned()],
            output_field_names: vec![WORDS.to_owned()],
        }],
    }
}

/// How many numbers the vectors of a collection have; nothing if it is none of [`schema`].
pub(super) fn length(schema: &CollectionSchema) -> Option<i64> {
    let field = |name: &str| schema.fields.iter().find(|field| field.name == name);
    let all = [ID, CHUNK_ID, CHUNK, TEXT, FACTS, NUMBERS, EXPIRES_AT];
    if !all.iter().all(|name| field(name).is_some()) {
        return None;
    }
    let dim = field(VECTOR)?.type_params.iter().find(|param| param.key == "dim")?;
    dim.value.parse().ok()
}

/// What is searched for.
pub(super) fn placeholder(kind: DataType, value: Vec<u8>) -> Placeholder {
    Placeholder { tag: "$0".to_owned(), r#type: kind.into(), values: vec![value] }
}

/// The columns of chunks.
///
/// # Errors
/// `InvalidRequest` if a chunk is too long.
pub(super) fn columns(rows: &[EmbeddedChunk]) -> Result<Vec<FieldData>> {
    let ids: Vec<String> = rows.iter().map(|one| point_id(&one.chunk.id)).collect();
    let written: Vec<String> = rows.iter().map(|one| payload::encode(&one.chunk)).collect();
    for (one, written) in rows.iter().zip(&written) {
        let (id, longest) = (&one.chunk.id, written.len().max(one.chunk.id.len()));
        if longest > LONGEST {
            return Err(Error::invalid(format!(
                "the chunk `{}` has {longest} bytes with its metadata, and {NAME} keeps at most \
                 {LONGEST}; cut the document into smaller chunks",
                &id[..id.floor_char_boundary(100)]
            )));
        }
    }
    let facts: Vec<Facts> = rows.iter().map(|one| Facts::of(&one.chunk.metadata)).collect();
    let each = |part: &dyn Fn(&EmbeddedChunk) -> String| {
        Scalars::Strings(Strings { data: rows.iter().map(part).collect() })
    };
    let words = facts.iter().map(|facts| {
        let data = facts.words.iter().take(MOST_FACTS).cloned().collect();
        ScalarField { data: Some(Scalars::Strings(Strings { data })) }
    });
    let words = Arrays { data: words.collect(), element_type: DataType::VarChar.into() };
    let numbers = facts.iter().map(|facts| {
        let numbers = facts.numbers.iter().map(|(key, number)| (key.clone(), (*number).into()));
        Value::Object(numbers.collect::<Map<String, Value>>()).to_string().into_bytes()
    });
    let expire = rows.iter().map(|one| one.chunk.expires_at.unwrap_or(Timestamp::MAX).0);
    let numbers_of_vectors: Vec<f32> =
        rows.iter().flat_map(|one| one.vector.iter().copied()).collect();
    let dim = rows.first().map_or(0, |one| one.vector.len());
    let vectors = VectorField {
        dim: i64::try_from(dim).unwrap_or_default(),
        float_vector: Some(Floats { data: numbers_of_vectors }),
    };
    Ok(vec![
        column(ID, DataType::VarChar, Scalars::Strings(Strings { data: ids })),
        column(CHUNK_ID, DataType::VarChar, each(&|one| one.chunk.id.clone())),
        column(CHUNK, DataType::VarChar, Scalars::Strings(Strings { data: written })),
        column(TEXT, DataType::VarChar, each(&|one| cut(&one.chunk.text()).to_owned())),
        FieldData {
            r#type: DataType::FloatVector.into(),
            field_name: VECTOR.to_owned(),
            field: Some(Field::Vectors(vectors)),
        },
        column(FACTS, DataType::Array, Scalars::Arrays(words)),
        column(NUMBERS, DataType::Json, Scalars::Jsons(Jsons { data: numbers.collect() })),
        column(EXPIRES_AT, DataType::Int64, Scalars::Longs(Longs { data: expire.collect() })),
    ])
}

fn column(name: &str, kind: DataType, data: Scalars) -> FieldData {
    FieldData {
        r#type: kind.into(),
        field_name: name.to_owned(),
        field: Some(Field::Scalars(ScalarField { data: Some(data) })),
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

/// The columns of an answer.
pub(super) struct Columns<'a>(pub(super) &'a [FieldData]);

impl<'a> Columns<'a> {
    fn field(&self, name: &str) -> Option<&'a Field> {
        self.0.iter().find(|column| column.field_name == name)?.field.as_ref()
    }

    fn strings(&self, name: &str) -> Option<&'a [String]> {
        match self.field(name)? {
            Field::Scalars(ScalarField { data: Some(Scalars::Strings(strings)) }) => {
                Some(&strings.data)
            }
            Field::Scalars(_) | Field::Vectors(_) => None,
        }
    }

    fn longs(&self, name: &str) -> Option<&'a [i64]> {
        match self.field(name)? {
            Field::Scalars(ScalarField { data: Some(Scalars::Longs(longs)) }) => Some(&longs.data),
            Field::Scalars(_) | Field::Vectors(_) => None,
        }
    }

    /// The ids and the texts of `count` chunks.
    pub(super) fn chunks(&self, count: usize) -> Result<Vec<(&'a str, &'a str)>, ()> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let ids = self.strings(CHUNK_ID).ok_or(())?;
        let texts = self.strings(CHUNK).ok_or(())?;
        if ids.len() != count || texts.len() != count {
            return Err(());
        }
        Ok(ids.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect())
    }

    /// The chunks with their vectors, and the primary key of the last one; nothing if the columns
    /// do not fit together.
    pub(super) fn embedded(&self) -> Option<Result<(Vec<EmbeddedChunk>, Option<String>)>> {
        let count = self.strings(CHUNK_ID).map_or(0, <[String]>::len);
        if count == 0 {
            return Some(Ok((Vec::new(), None)));
        }
        let chunks = self.chunks(count).ok()?;
        let expire = self.longs(EXPIRES_AT).filter(|expire| expire.len() == count)?;
        let Field::Vectors(VectorField { dim, float_vector: Some(vectors) }) =
            self.field(VECTOR)?
        else {
            return None;
        };
        let dim = usize::try_from(*dim).ok().filter(|dim| dim * count == vectors.data.len())?;
        let last = self.strings(ID)?.last().cloned();
        let rows = chunks.into_iter().zip(expire).zip(vectors.data.chunks(dim.max(1)));
        let rows = rows.map(|(((id, text), expires_at), vector)| {
            let mut chunk = payload::decode(id, text)?;
            chunk.expires_at = Some(Timestamp(*expires_at)).filter(|at| *at < Timestamp::MAX);
            Ok(EmbeddedChunk { chunk, vector: vector.to_vec() })
        });
        Some(rows.collect::<Result<Vec<_>>>().map(|rows| (rows, last)))
    }
}
