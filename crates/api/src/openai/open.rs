//! The body of a request, kept as it came: what nobody looks at is never decoded.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{
    Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::{Map, Value, value::RawValue};
use std::{
    fmt,
    ops::{Index, IndexMut},
    sync::OnceLock,
};

/// The most members of a body that are told apart without decoding it.
const MEMBERS: usize = 64;

/// The members of a JSON object, in their order.
///
/// A member that came as text is decoded when it is first looked at, and written back as it came
/// when it was not changed. A body nobody changed is the text that came.
#[derive(Clone, Default)]
pub struct Body {
    members: Vec<Member>,
    /// The text of all of it, until something is changed.
    whole: Option<Bytes>,
}

#[derive(Clone)]
struct Member {
    name: Name,
    /// The text that came, as long as it says the same as the value.
    text: Option<Bytes>,
    value: OnceLock<Value>,
}

/// A name, as it was made here or as it stands in the text that came.
#[derive(Clone)]
enum Name {
    Own(String),
    Came(Bytes),
}

impl Name {
    fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Names are compared in this form, so that they are not checked again for being text.
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Own(name) => name.as_bytes(),
            Self::Came(name) => name,
        }
    }
}

impl Member {
    fn new(name: String, value: Value) -> Self {
        Self { name: Name::Own(name), text: None, value: OnceLock::from(value) }
    }

    fn value(&self) -> &Value {
        self.value.get_or_init(|| {
            // `Body::scan` takes text that can be decoded only.
            let text = self.text.as_deref().unwrap_or(b"null");
            serde_json::from_slice(text).unwrap_or_default()
        })
    }

    fn into_value(self) -> Value {
        self.value();
        self.value.into_inner().unwrap_or_default()
    }

    fn value_mut(&mut self) -> &mut Value {
        self.value();
        self.text = None;
        // Set a moment ago.
        self.value.get_mut().expect("the value was decoded")
    }
}

impl Body {
    /// The members of an object, without decoding them.
    ///
    /// `text` is JSON that can be decoded: nested within the limits of the reader, numbers within
    /// the range of 64-bit floats, and escapes that are characters. Gives nothing where the text is
    /// not an object whose members can be told apart simply: names with escapes, names given twice,
    /// very many members.
    pub fn scan(text: &Bytes) -> Option<Self> {
        // Names and values need not be looked at again for being text.
        let mut reader = serde_json::Deserializer::from_str(str::from_utf8(text).ok()?);
        let members = reader.deserialize_map(Members(text)).ok()?;
        reader.end().ok()?;
        Some(Self { members, whole: Some(text.clone()) })
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| member.name.as_bytes() == name.as_bytes())
    }

    /// The value of a member.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.position(name).map(|at| self.members[at].value())
    }

    /// The value of a member, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        let at = self.position(name)?;
        self.whole = None;
        Some(self.members[at].value_mut())
    }

    /// The text of a member, unless its value was made or changed here.
    pub fn text(&self, name: &str) -> Option<&[u8]> {
        self.position(name).and_then(|at| self.members[at].text.as_deref())
    }

    pub fn contains_key(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    /// Sets a member, at its place or at the end, and returns what it was.
    pub fn insert(&mut self, name: String, value: Value) -> Option<Value> {
        self.whole = None;
        if let Some(at) = self.position(&name) {
            let before = std::mem::replace(&mut self.members[at], Member::new(name, value));
            Some(before.into_value())
        } else {
            self.members.push(Member::new(name, value));
            None
        }
    }

    /// Removes a member; the others keep their order.
    pub fn shift_remove(&mut self, name: &str) -> Option<Value> {
        let at = self.position(name)?;
        self.whole = None;
        Some(self.members.remove(at).into_value())
    }

    /// Removes a member; the others keep their order.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.shift_remove(name)
    }

    /// Gives a member another name; nothing happens where there is none.
    pub fn rename(&mut self, name: &str, to: &str) {
        if let Some(at) = self.position(name) {
            self.whole = None;
            self.members[at].name = Name::Own(to.to_owned());
        }
    }

    /// The names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    /// The names and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.members.iter().map(|member| (member.name.as_str(), member.value()))
    }

    /// Whether a member may hold the text `word` (ASCII) somewhere; only a `false` is certain.
    /// Costs no decoding.
    pub fn may_hold(&self, name: &str, word: &str) -> bool {
        let Some(at) = self.position(name) else { return false };
        let Some(text) = &self.members[at].text else { return true };
        // A word could be written with escapes of its letters.
        let mut escapes = memchr::memchr_iter(b'\\', text);
        escapes.any(|at| text[at + 1..].starts_with(b"u00"))
            || memchr::memmem::find(text, word.as_bytes()).is_some()
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// All members, decoded.
    pub fn into_map(self) -> Map<String, Value> {
        let member = |member: Member| (member.name.as_str().to_owned(), member.into_value());
        self.members.into_iter().map(member).collect()
    }

    /// The JSON text: what came, with what was changed.
    pub fn to_bytes(&self) -> Bytes {
        if let Some(whole) = &self.whole {
            return whole.clone();
        }
        let came = self.members.iter().filter_map(|member| member.text.as_ref().map(Bytes::len));
        let mut out =
            BytesMut::with_capacity(came.sum::<usize>() + 64 * self.members.len()).writer();
        out.get_mut().put_u8(b'{');
        for (index, member) in self.members.iter().enumerate() {
            if index > 0 {
                out.get_mut().put_u8(b',');
            }
            // Values of JSON can always be written, and so can names.
            let _written = serde_json::to_writer(&mut out, member.name.as_str());
            out.get_mut().put_u8(b':');
            match &member.text {
                Some(text) => out.get_mut().put_slice(text),
                None => _ = serde_json::to_writer(&mut out, member.value()),
            }
        }
        out.get_mut().put_u8(b'}');
        out.into_inner().freeze()
    }
}

impl From<Map<String, Value>> for Body {
    fn from(map: Map<String, Value>) -> Self {
        let members = map.into_iter().map(|(name, value)| Member::new(name, value)).collect();
        Self { members, whole: None }
    }
}

impl From<Body> for Value {
    fn from(body: Body) -> Self {
        Self::Object(body.into_map())
    }
}

impl Extend<(String, Value)> for Body {
    fn extend<T: IntoIterator<Item = (String, Value)>>(&mut self, members: T) {
        for (name, value) in members {
            self.insert(name, value);
        }
    }
}

impl Index<&str> for Body {
    type Output = Value;

    /// `null` where there is no such member.
    fn index(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&Value::Null)
    }
}

impl IndexMut<&str> for Body {
    /// A member that is not there is added, as `null`.
    fn index_mut(&mut self, name: &str) -> &mut Value {
        self.whole = None;
        let at = self.position(name).unwrap_or_else(|| {
            self.members.push(Member::new(name.to_owned(), Value::Null));
            self.members.len() - 1
        });
        self.members[at].value_mut()
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.iter().all(|(name, value)| other.get(name).is_some_and(|other| other == value))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Finds the members of the object that this text is.
struct Members<'a>(&'a Bytes);

impl<'de> Visitor<'de> for Members<'de> {
    type Value = Vec<Member>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with few members and plain names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Member>, A::Error> {
        let mut members: Vec<Member> = Vec::with_capacity(8);
        // A name with escapes is not a part of the text, and ends this.
        while let Some(name) = map.next_key::<&'de str>()? {
            let text: &'de RawValue = map.next_value()?;
            let twice = members.iter().any(|member| member.name.as_bytes() == name.as_bytes());
            if twice || members.len() == MEMBERS {
                return Err(A::Error::custom("not told apart simply"));
            }
            members.push(Member {
                name: Name::Came(self.0.slice_ref(name.as_bytes())),
                text: Some(self.0.slice_ref(text.get().as_bytes())),
                value: OnceLock::new(),
            });
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scan(text: &'static str) -> Body {
        Body::scan(&Bytes::from_static(text.as_bytes())).expect("an object with plain names")
    }

    #[test]
    fn a_body_nobody_changed_is_the_text_that_came() {
        let text = "{ \"model\" : \"m\",\n \"n\": 1.50 }";
        let body = scan(text);
        assert_eq!(body.get("model"), Some(&json!("m")));
        assert_eq!(body.to_bytes().as_ptr(), body.whole.as_ref().unwrap().as_ptr());
        assert_eq!(body.to_bytes(), text);
    }

    #[test]
    fn what_was_not_changed_is_written_as_it_came() {
        let mut body = scan(r#"{"model":"a","messages":[ {"x":1.50} ],"top_k":3,"stop":"."}"#);
        body.insert("model".to_owned(), "b".into());
        assert_eq!(body.shift_remove("top_k"), Some(json!(3)));
        body.rename("stop", "end");
        body["new"] = json!([null]);
        let expected = r#"{"model":"b","messages":[ {"x":1.50} ],"end":".","new":[null]}"#;
        assert_eq!(body.to_bytes(), expected);
        body.get_mut("messages").unwrap()[0]["x"] = 2.into();
        let expected = r#"{"model":"b","messages":[{"x":2}],"end":".","new":[null]}"#;
        assert_eq!(body.to_bytes(), expected);
    }

    #[test]
    fn a_scanned_body_is_equal_to_a_decoded_one() {
        let text = r#"{"a":{"b":[1,"\u00e9\n",null]},"c":true,"d":-1e3,"e":""}"#;
        let Value::Object(map) = serde_json::from_str(text).unwrap() else { panic!("an object") };
        assert_eq!(scan(text), Body::from(map.clone()));
        assert_eq!(scan(text).into_map(), map);
        assert_eq!(serde_json::to_value(scan(text)).unwrap(), Value::Object(map));
    }

    #[test]
    fn what_is_not_simply_told_apart_is_left_to_the_decoder() {
        let many: Map<String, Value> = (0..100).map(|n| (n.to_string(), n.into())).collect();
        let many = Value::Object(many).to_string();
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"\u0061":1}"#,
            "[]",
            "{",
            r#"{"a":1} x"#,
            r#"{"a":}"#,
            "1",
            "",
            &many,
        ] {
            assert!(Body::scan(&Bytes::copy_from_slice(text.as_bytes())).is_none(), "{text}");
        }
        assert!(Body::scan(&Bytes::from_static(b"{\"a\":\"\xff\"}")).is_none());
    }

    #[test]
    fn words_are_looked_for_without_decoding() {
        let body = scan(r#"{"a":"image_url","b":"image\u005furl","c":"\u0416","d":1}"#);
        let holds = |name: &str| body.may_hold(name, "image_url");
        assert_eq!(["a", "b", "c", "d", "e"].map(holds), [true, true, false, false, false]);
    }
}
