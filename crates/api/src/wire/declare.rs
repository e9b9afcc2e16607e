//! The macro that declares wire types.

/// Declares wire types: structures, enumerations of strings, and unions told apart by a tag.
///
/// A field is required unless its type gives absence a meaning (`Option`) or a default follows
/// `=`. `as "name"` sets the name on the wire where it is not a Rust name; `unless "function"` leaves
/// the field out of what is written where the function says so. `after function` has a function put
/// the members of the object in order before they are read. The doc comments become the descriptions
/// of the schema.
#[macro_export]
macro_rules! wire {
    () => {};
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $wire:literal) => { $wire };
    (@default) => { None };
    (@default $default:expr) => { Some(|| $default) };
    (@doc $($doc:literal)*) => { concat!($($doc, "\n"),*).trim() };

    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $name:ident $(after $prepare:path)? {
            $($(#[doc = $fdoc:literal])* $fvis:vis $field:ident $(as $wire:literal)? $(unless $left_out:literal)? : $ty:ty $(= $default:expr)?),* $(,)?
        }
        $($rest:tt)*
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, ::serde::Serialize)]
        $vis struct $name {
            $($(#[doc = $fdoc])* $(#[serde(rename = $wire)])? $(#[serde(skip_serializing_if = $left_out)])? $fvis $field: $ty,)*
        }
        impl $crate::wire::Wire for $name {
            #[allow(unused_mut, unused_variables, clippy::allow_attributes, reason = "a structure may have no fields")]
            fn read(value: ::serde_json::Value, reader: &mut $crate::wire::Reader) -> Option<Self> {
                let mut object = reader.object(value)?;
                $($prepare(&mut object);)?
                $(let $field: Option<$ty> = reader.field(
                    &mut object,
                    $crate::wire!(@name $field $($wire)?),
                    $crate::wire!(@default $($default)?),
                );)*
                Some(Self { $($field: $field?),* })
            }
            #[allow(unused_mut, unused_variables, clippy::allow_attributes, reason = "a structure may have no fields")]
            fn schema(schemas: &mut $crate::wire::Schemas) -> ::serde_json::Value {
                schemas.named(stringify!($name), |schemas| {
                    let mut properties = ::serde_json::Map::new();
                    let mut required: Vec<&str> = Vec::new();
                    $({
                        let name = $crate::wire!(@name $field $($wire)?);
                        let mut schema = <$ty as $crate::wire::Wire>::schema(schemas);
                        let default: Option<fn() -> $ty> = $crate::wire!(@default $($default)?);
                        if let Some(default) = default {
                            schema["default"] = ::serde_json::to_value(default()).unwrap_or_default();
                        } else if <$ty as $crate::wire::Wire>::absent().is_none() {
                            required.push(name);
                        }
                        let doc = $crate::wire!(@doc $($fdoc)*);
                        if !doc.is_empty() {
                            schema["description"] = doc.into();
                        }
                        properties.insert(name.to_owned(), schema);
                    })*
                    let mut schema = ::serde_json::json!({ "type": "object", "properties": properties });
                    if !required.is_empty() {
                        schema["required"] = ::serde_json::json!(required);
                    }
                    let doc = $crate::wire!(@doc $($doc)*);
                    if !doc.is_empty() {
                        schema["description"] = doc.into();
                    }
                    schema
                })
            }
        }
        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = <::serde_json::Value as ::serde::Deserialize>::deserialize(deserializer)?;
                <Self as $crate::wire::Wire>::from_json(value).map_err(|issues| {
                    ::serde::de::Error::custom($crate::error::Error::malformed(issues))
                })
            }
        }
        $crate::wire! { $($rest)* }
    };

    (
        $(#[doc = $doc:literal])*
        $vis:vis enum $name:ident { $($(#[doc = $vdoc:literal])* $variant:ident = $text:literal),* $(,)? }
        $($rest:tt)*
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ::serde::Serialize, ::serde::Deserialize)]
        $vis enum $name { $($(#[doc = $vdoc])* #[serde(rename = $text)] $variant),* }
        #[allow(dead_code, clippy::allow_attributes, reason = "not every enumeration is listed or parsed")]
        impl $name {
            $vis const ALL: &'static [Self] = &[$(Self::$variant),*];
            $vis const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
            /// The value written as `text`, if there is one.
            $vis fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl $crate::wire::Wire for $name {
            fn read(value: ::serde_json::Value, reader: &mut $crate::wire::Reader) -> Option<Self> {
                value.as_str().and_then(Self::parse).or_else(|| {
                    reader.issue("enum", format!("Input should be {}", $crate::wire::alternatives(&[$($text),*])))
                })
            }
            fn schema(schemas: &mut $crate::wire::Schemas) -> ::serde_json::Value {
                schemas.named(stringify!($name), |_| ::serde_json::json!({
                    "type": "string",
                    "enum": [$($text),*],
                    "description": $crate::wire!(@doc $($doc)*),
                }))
            }
        }
        $crate::wire! { $($rest)* }
    };

    (
        $(#[doc = $doc:literal])*
        $vis:vis union $name:ident by $tag:literal { $($variant:ident($inner:ty) = $text:literal),* $(,)? }
        $($rest:tt)*
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, ::serde::Serialize)]
        #[serde(tag = $tag)]
        $vis enum $name { $(#[serde(rename = $text)] $variant($inner)),* }
        impl $crate::wire::Wire for $name {
            fn read(value: ::serde_json::Value, reader: &mut $crate::wire::Reader) -> Option<Self> {
                let object = reader.object(value)?;
                let Some(tag) = object.get($tag) else {
                    return reader.issue(
                        "union_tag_not_found",
                        concat!("Unable to extract tag using discriminator '", $tag, "'"),
                    );
                };
                match tag.as_str() {
                    $(Some($text) => reader
                        .key($text, |reader| <$inner as $crate::wire::Wire>::read(object.into(), reader))
                        .map(Self::$variant),)*
                    _ => {
                        let found = tag.as_str().map_or_else(|| tag.to_string(), str::to_owned);
                        reader.issue("union_tag_invalid", format!(
                            "Input tag '{found}' found using '{}' does not match any of the expected tags: {}",
                            $tag,
                            [$($text),*].map(|text| format!("'{text}'")).join(", "),
                        ))
                    }
                }
            }
            fn schema(schemas: &mut $crate::wire::Schemas) -> ::serde_json::Value {
                schemas.named(stringify!($name), |schemas| ::serde_json::json!({
                    "description": $crate::wire!(@doc $($doc)*),
                    "oneOf": [$({
                        "allOf": [
                            <$inner as $crate::wire::Wire>::schema(schemas),
                            { "type": "object", "properties": { $tag: { "const": $text } }, "required": [$tag] },
                        ],
                    }),*],
                }))
            }
        }
        $crate::wire! { $($rest)* }
    };
}

/// `'a', 'b' or 'c'`, as the messages list what is accepted.
pub fn alternatives(texts: &[&str]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("'{text}'")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
