//! Filters as conditions of SQL.

use super::sql::{Parameter, Sql};
use chaski_api::retrieval::{Comparison, Filter, Operator, Scalar};
use chaski_provider::Timestamp;
use serde_json::{Value, json};

/// A filter, for chunks that have not expired.
pub(crate) struct Condition(pub(super) Option<Filter>);

impl Condition {
    /// Writes the condition, which is true or false and never null.
    pub(super) fn write(&self, sql: &mut Sql) {
        let now = sql.bind(Parameter::Number(Timestamp::now().0));
        sql.push(&format!("(expires_at IS NULL OR expires_at > {now})"));
        if let Some(filter) = &self.0 {
            sql.push(" AND ");
            part(filter, sql);
        }
    }
}

fn part(filter: &Filter, sql: &mut Sql) {
    let (filters, join) = match filter {
        Filter::Compare(comparison) => return compare(comparison, sql),
        Filter::And(filters) => (filters, " AND "),
        Filter::Or(filters) => (filters, " OR "),
    };
    sql.push("(");
    for (index, filter) in filters.iter().enumerate() {
        if index > 0 {
            sql.push(join);
        }
        part(filter, sql);
    }
    sql.push(")");
}

fn compare(comparison: &Comparison, sql: &mut Sql) {
    let Comparison { key, operator, values } = comparison;
    let key = clean(key);
    let sign = match operator {
        Operator::Eq | Operator::In | Operator::Ne | Operator::Nin => {
            // This form is what the index of the metadata answers. Numbers are equal by their value.
            let wanted: Vec<String> =
                values.iter().map(|value| json!({ &key: plain(value) }).to_string()).collect();
            let wanted = sql.bind(Parameter::Texts(wanted));
            let not = if matches!(operator, Operator::Ne | Operator::Nin) { "NOT " } else { "" };
            sql.push(&format!("({not}metadata @> ANY ({wanted}::text[]::jsonb[]))"));
            return;
        }
        Operator::Gt => ">",
        Operator::Gte => ">=",
        Operator::Lt => "<",
        Operator::Lte => "<=",
    };
    let Some(value) = values.first() else { return sql.push("false") };
    let key = sql.bind(key.as_str());
    let (kind, own, other) = match value {
        // By code points, as everywhere, whatever the order of the database is.
        Scalar::Text(text) => {
            let text = sql.bind(clean(text).as_str());
            let own = format!("(metadata ->> {key}) COLLATE \"C\"");
            ("string", own, format!("{text}::text COLLATE \"C\""))
        }
        Scalar::Number(_) | Scalar::Bool(_) => {
            let kind = if matches!(value, Scalar::Bool(_)) { "boolean" } else { "number" };
            let value = sql.bind(plain(value).to_string().as_str());
            (kind, format!("(metadata -> {key})"), format!("{value}::text::jsonb"))
        }
    };
    sql.push(&format!(
        "COALESCE(jsonb_typeof(metadata -> {key}) = '{kind}' AND {own} {sign} {other}, false)"
    ));
}

/// A value as metadata have it.
fn plain(value: &Scalar) -> Value {
    match value {
        Scalar::Text(text) => clean(text).into(),
        Scalar::Number(number) => number.as_f64().into(),
        Scalar::Bool(truth) => (*truth).into(),
    }
}

/// A text without the one character that `PostgreSQL` does not keep.
pub(super) fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_api::Wire;

    #[test]
    fn what_is_asked_for_is_never_in_the_text() {
        let filter = json!({ "type": "and", "filters": [
            { "type": "eq", "key": "secret'k", "value": "secret'v" },
            { "type": "or", "filters": [
                { "type": "gt", "key": "secret\"k", "value": "secret$$" },
                { "type": "lte", "key": "secret k", "value": 12345.5 },
                { "type": "nin", "key": "secret", "value": ["secret", true] },
            ] },
        ] });
        let mut sql = Sql::default();
        Condition(Some(Filter::from_json(filter).unwrap())).write(&mut sql);
        assert!(!sql.text.contains("secret") && !sql.text.contains("12345"), "{}", sql.text);
        for number in 1..=sql.parameters.len() {
            assert!(sql.text.contains(&format!("${number}")), "{}", sql.text);
        }
        assert_eq!(sql.parameters.len(), 7);
        assert_eq!(sql.text.matches('(').count(), sql.text.matches(')').count());
    }
}
