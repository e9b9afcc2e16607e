//! Searching a vector store.

use super::{
    VectorStores, chunks,
    contextual::{ask, chat_model},
    records::{StoredStore, StoredStoreFile, key},
};
use crate::{data::owner, routers::ranking_model};
use chaski_api::{
    Error, Result,
    openai::{
        Body, IngestStatus, RankingOptions, RerankRequest, SearchVectorStoreRequest, StoreRanker,
        StoreSearchMode, VectorStoreSearchResult, VectorStoreSearchResults,
    },
    retrieval::{NormalizedRanker, Ranker, RrfRanker, SearchMode, Share, WeightedRanker},
};
use chaski_provider::{Context, ScoredChunk, VectorQuery};
use chaski_store::{Condition, Database, Owner};
use serde_json::json;
use std::collections::{BTreeSet, HashMap};

/// How many more chunks are asked for than wanted: some belong to files that are coming or going, and
/// a model that ranks needs a choice.
const MORE: usize = 3;
/// How many times more are asked for where too few of them can be found, and how many at most.
const STILL_MORE: usize = 8;
const MOST: usize = 4096;
/// What a chat model is asked to make of a query.
const REWRITE: &str = "Write the following question anew as a short query for a search engine over \
                       documents. Keep names, numbers and technical terms. Answer with the query \
                       only.\n\nQuestion: ";
/// The most tokens of a query that a model writes.
const QUERY: i64 = 64;

impl VectorStores {
    /// The texts of a vector store that fit a query best.
    ///
    /// # Errors
    /// `NotFound` if the caller has no such vector store; `Unsupported` for a mode of search that its
    /// provider does not have.
    pub async fn search(
        &self,
        cx: &Context,
        request: SearchVectorStoreRequest,
    ) -> Result<VectorStoreSearchResults> {
        let owner = owner(cx);
        let held = self.usable(&owner, &request.vector_store_id).await?;
        let store = &held.record;
        let options = request.ranking_options.unwrap_or(RankingOptions {
            ranker: StoreRanker::Auto,
            score_threshold: Share(0.0),
            alpha: None,
            impact_factor: None,
            model: None,
        });
        // A model that is not there is told whatever is found.
        let rerank_model = self.rerank_model(&options).await?;
        let mut queries = request.query.0;
        if request.rewrite_query {
            for query in &mut queries {
                *query = self.rewritten(cx, query).await?;
            }
        }
        let most = usize::try_from(request.max_num_results.0).unwrap_or_default();
        let mode = self.mode(cx, store, request.search_mode).await?;
        let filter = request.filters.map(chunks::about_attributes);
        let ranker = ranker(&options);
        let mut found: Vec<ScoredChunk> = Vec::new();
        let mut files = HashMap::new();
        for query in &queries {
            let asked = VectorQuery {
                mode,
                vector: Vec::new(),
                text: query.clone(),
                max: most * MORE,
                min_score: None,
                filter: filter.clone(),
                ranker: ranker.clone(),
            };
            for mut chunk in self.readable(cx, &owner, store, asked, most, &mut files).await? {
                chunk.score = share(chunk.score, mode, &ranker);
                match found.iter_mut().find(|known| known.chunk.id == chunk.chunk.id) {
                    Some(known) => known.score = known.score.max(chunk.score),
                    None => found.push(chunk),
                }
            }
        }
        if let Some(model) = rerank_model {
            self.rank(cx, &queries.join("\n"), &model, &mut found).await?;
        }
        found.sort_by(|one, other| other.score.total_cmp(&one.score));
        found.retain(|chunk| chunk.score >= options.score_threshold.0);
        found.truncate(most);
        self.touch(&held).await?;
        let data = found.iter().filter_map(|chunk| {
            let file = files.get(chunks::origin(&chunk.chunk).0)?;
            Some(VectorStoreSearchResult {
                file_id: file.object.id.clone(),
                filename: file.filename.clone(),
                score: chunk.score,
                attributes: Some(file.object.attributes.clone().unwrap_or_default()),
                content: vec![chunks::found(&chunk.chunk)],
            })
        });
        Ok(VectorStoreSearchResults {
            object: "vector_store.search_results.page".to_owned(),
            search_query: queries,
            data: data.collect(),
            has_more: false,
            next_page: None,
        })
    }

    /// The mode that is wanted, or the best that the provider has.
    async fn mode(
        &self,
        cx: &Context,
        store: &StoredStore,
        wanted: Option<StoreSearchMode>,
    ) -> Result<SearchMode> {
        let modes = self.0.backend.modes(cx, &store.vector_db).await?;
        let mode = match wanted {
            Some(StoreSearchMode::Keyword) => SearchMode::Keyword,
            Some(StoreSearchMode::Hybrid) => SearchMode::Hybrid,
            None if modes.contains(&SearchMode::Hybrid) => SearchMode::Hybrid,
            Some(StoreSearchMode::Vector) | None => SearchMode::Vector,
        };
        if modes.contains(&mode) {
            Ok(mode)
        } else {
            Err(chaski_provider::no_mode(mode, modes).with_param("search_mode"))
        }
    }

    /// The chunks for a query that are of files which are read, `most` of them if there are so many.
    /// The files come into `files`, by their ids.
    async fn readable(
        &self,
        cx: &Context,
        owner: &Owner,
        store: &StoredStore,
        mut asked: VectorQuery,
        most: usize,
        files: &mut HashMap<String, StoredStoreFile>,
    ) -> Result<Vec<ScoredChunk>> {
        loop {
            let max = asked.max;
            let mut found = self.0.backend.search(cx, &store.vector_db, asked.clone()).await?;
            let are_all = found.len() < max || max >= MOST;
            files.extend(self.files_of(owner, store, &found).await?);
            found.retain(|chunk| {
                let (file, job) = chunks::origin(&chunk.chunk);
                files.get(file).is_some_and(|file| file.job_id == job)
            });
            if are_all || found.len() >= most {
                return Ok(found);
            }
            // A large file that is being read must not hide the others.
            asked.max = (max * STILL_MORE).min(MOST);
        }
    }

    /// The files that chunks are of, as far as they can be found, by their ids.
    async fn files_of(
        &self,
        owner: &Owner,
        store: &StoredStore,
        found: &[ScoredChunk],
    ) -> Result<HashMap<String, StoredStoreFile>> {
        let ids: BTreeSet<&str> =
            found.iter().map(|chunk| chunks::origin(&chunk.chunk).0).collect();
        let keys: Vec<String> = ids.iter().map(|file| key(&store.id, file)).collect();
        let query = Database::query::<StoredStoreFile>(owner)
            .with(Condition::one_of("id", keys.iter().map(String::as_str)))
            .with(Condition::is("status", IngestStatus::Completed.as_str()))
            .limit(keys.len().max(1));
        let records = self.database().list(query).await?.records.into_iter();
        Ok(records.map(|held| (held.record.object.id.clone(), held.record)).collect())
    }

    /// A query as a chat model writes it for the search.
    async fn rewritten(&self, cx: &Context, query: &str) -> Result<String> {
        let model = chat_model(self, None).map_err(|error| error.with_param("rewrite_query"))?;
        let answer = ask(self, cx, &model, format!("{REWRITE}{query}"), QUERY).await?;
        let line = answer.lines().map(str::trim).find(|line| !line.is_empty());
        Ok(line.map_or_else(|| query.to_owned(), |line| line.trim_matches('"').to_owned()))
    }

    /// The model that is to rank what is found, if one is.
    async fn rerank_model(&self, options: &RankingOptions) -> Result<Option<String>> {
        let of_request = |error: Error| error.with_param("ranking_options.model");
        let is_wanted = options.ranker == StoreRanker::Neural;
        if !is_wanted && options.model.is_none() {
            return Ok(None);
        }
        let model = ranking_model(&self.0.models, options.model.clone()).await;
        let model = model.map_err(of_request)?.ok_or_else(|| {
            of_request(Error::invalid("there is no rerank model; name one, or use another ranker"))
        })?;
        Ok(is_wanted.then_some(model))
    }

    /// Gives chunks the scores of a rerank model.
    async fn rank(
        &self,
        cx: &Context,
        query: &str,
        model: &str,
        found: &mut [ScoredChunk],
    ) -> Result<()> {
        if found.is_empty() {
            return Ok(());
        }
        let texts: Vec<String> = found.iter().map(|chunk| chunk.chunk.text()).collect();
        let mut body = Body::default();
        body.insert("model".to_owned(), model.into());
        body.insert("query".to_owned(), query.into());
        body.insert("documents".to_owned(), json!(texts));
        let list = self.0.inference.rerank(cx, RerankRequest { body }).await?.into_value()?;
        for result in list.results {
            let index = usize::try_from(result.index).unwrap_or(usize::MAX);
            if let Some(chunk) = found.get_mut(index) {
                chunk.score = result.relevance_score.clamp(0.0, 1.0);
            }
        }
        Ok(())
    }
}

/// How the two lists of a hybrid search become one: as everywhere else, unless the caller says.
fn ranker(options: &RankingOptions) -> Ranker {
    match options.ranker {
        StoreRanker::Rrf => Ranker::Rrf(RrfRanker {
            impact_factor: options.impact_factor.unwrap_or(RrfRanker::default().impact_factor),
        }),
        StoreRanker::Normalized => Ranker::Normalized(NormalizedRanker {}),
        StoreRanker::Weighted => Ranker::Weighted(WeightedRanker {
            alpha: options.alpha.unwrap_or(WeightedRanker::default().alpha),
        }),
        StoreRanker::Auto | StoreRanker::None | StoreRanker::Default2024 | StoreRanker::Neural => {
            Ranker::default()
        }
    }
}

/// A score as a number from 0 to 1.
fn share(score: f64, mode: SearchMode, ranker: &Ranker) -> f64 {
    let share = match (mode, ranker) {
        // It has no upper end.
        (SearchMode::Keyword, _) => score / (1.0 + score),
        // The first of both lists has the most that there is.
        (SearchMode::Hybrid, Ranker::Rrf(rrf)) => score * (rrf.impact_factor.0 + 1.0) / 2.0,
        // The weights of both lists are one together.
        (SearchMode::Hybrid, Ranker::Normalized(_) | Ranker::Weighted(_))
        | (SearchMode::Vector, _) => score,
    };
    share.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_from_0_to_1_in_every_mode() {
        let check = |score: f64, mode, kind, expected: f64| {
            let options = RankingOptions {
                ranker: kind,
                score_threshold: Share(0.0),
                alpha: None,
                impact_factor: None,
                model: None,
            };
            let found = share(score, mode, &ranker(&options));
            assert!((found - expected).abs() < 1e-9, "{found} in place of {expected}");
        };
        check(0.7, SearchMode::Vector, StoreRanker::Auto, 0.7);
        check(-0.7, SearchMode::Vector, StoreRanker::Auto, 0.0);
        check(3.0, SearchMode::Keyword, StoreRanker::Auto, 0.75);
        check(0.4, SearchMode::Hybrid, StoreRanker::Auto, 0.4);
        check(2.0 / 61.0, SearchMode::Hybrid, StoreRanker::Rrf, 1.0);
        check(1.0 / 61.0, SearchMode::Hybrid, StoreRanker::Rrf, 0.5);
        check(0.4, SearchMode::Hybrid, StoreRanker::Weighted, 0.4);
        check(1.0, SearchMode::Hybrid, StoreRanker::Normalized, 1.0);
        check(0.5, SearchMode::Hybrid, StoreRanker::Normalized, 0.5);
    }
}
