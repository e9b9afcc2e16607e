//! `chaski search`: the texts of a vector store that fit a query best.

use super::{client, store};
use crate::{
    args::SearchArgs,
    environment::Environment,
    failure::{Failure, Outcome},
    output::Output,
};
use chaski_api::{
    openai::{Queries, SearchVectorStoreRequest, VectorStoreSearchResult},
    wire::Between,
};
use serde_json::json;

/// How many characters of a text a person is shown.
const SHOWN: usize = 400;

pub(crate) fn run(args: &SearchArgs, environment: &Environment, output: Output) -> Outcome {
    let client = client(&args.server, environment)?;
    let runtime = crate::run::runtime()?;
    let results = runtime.block_on(async {
        let store = store(&client, &args.store).await?.ok_or_else(|| {
            Failure::failed(format!("there is no vector store `{}`", args.store))
                .hint("`chaski ingest PATH --store NAME` makes one")
        })?;
        let request = SearchVectorStoreRequest {
            vector_store_id: store.id,
            query: Queries(vec![args.query.join(" ")]),
            filters: None,
            max_num_results: Between(i64::from(args.max)),
            ranking_options: None,
            rewrite_query: false,
            search_mode: None,
        };
        Ok::<_, Failure>(client.search_vector_store(request).await?)
    })?;
    if args.json {
        return output.json(&json!(results.data));
    }
    for result in &results.data {
        output.text(&shown(result))?;
    }
    Ok(())
}

/// A result for people.
fn shown(result: &VectorStoreSearchResult) -> String {
    let path = result.attributes.as_ref().and_then(|all| all.0.get("path")?.as_str());
    let text = result.content.iter().map(|content| content.text.as_str()).collect::<String>();
    let short: String = text.trim().chars().take(SHOWN).collect();
    let more = if short.len() < text.trim().len() { " ..." } else { "" };
    let lines: Vec<String> =
        format!("{short}{more}").lines().map(|line| format!("    {line}")).collect();
    format!("{:.3}  {}\n{}\n", result.score, path.unwrap_or(&result.filename), lines.join("\n"))
}
