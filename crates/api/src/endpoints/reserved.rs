//! Endpoints of the Llama Stack API that this build declares but does not serve yet.
//!
//! They answer 501 with the reason, and stand in `GET /v1/inspect/routes` as in the reference. An
//! endpoint leaves this table when its group gets a file of its own.

use crate::{Api, Described, Method};

const fn get(api: Api, path: &'static str, operation: &'static str) -> Described {
    Described::reserved(api, Method::Get, path, operation)
}

const fn post(api: Api, path: &'static str, operation: &'static str) -> Described {
    Described::reserved(api, Method::Post, path, operation)
}

const fn delete(api: Api, path: &'static str, operation: &'static str) -> Described {
    Described::reserved(api, Method::Delete, path, operation)
}

pub(super) const ALL: &[Described] = &[
    post(Api::Scoring, "/v1/scoring/score", "post_scoring_score"),
    post(Api::Scoring, "/v1/scoring/score-batch", "post_scoring_score_batch"),
    get(Api::ScoringFunctions, "/v1/scoring-functions", "list_scoring_functions"),
    post(Api::ScoringFunctions, "/v1/scoring-functions", "post_scoring_functions"),
    get(
        Api::ScoringFunctions,
        "/v1/scoring-functions/{scoring_fn_id:path}",
        "get_scoring_functions_item",
    ),
    post(
        Api::Eval,
        "/v1/eval/benchmarks/{benchmark_id}/evaluations",
        "post_eval_benchmarks_evaluations",
    ),
    post(Api::Eval, "/v1/eval/benchmarks/{benchmark_id}/jobs", "post_eval_benchmarks_jobs"),
    delete(
        Api::Eval,
        "/v1/eval/benchmarks/{benchmark_id}/jobs/{job_id}",
        "delete_eval_benchmarks_jobs_item",
    ),
    get(
        Api::Eval,
        "/v1/eval/benchmarks/{benchmark_id}/jobs/{job_id}",
        "get_eval_benchmarks_jobs_item",
    ),
    get(
        Api::Eval,
        "/v1/eval/benchmarks/{benchmark_id}/jobs/{job_id}/result",
        "get_eval_benchmarks_jobs_result",
    ),
    get(Api::Benchmarks, "/v1/eval/benchmarks", "list_eval_benchmarks"),
    post(Api::Benchmarks, "/v1/eval/benchmarks", "post_eval_benchmarks"),
    get(Api::Benchmarks, "/v1/eval/benchmarks/{benchmark_id}", "get_eval_benchmarks_item"),
    get(Api::PostTraining, "/v1/post-training/job/artifacts", "list_post_training_job_artifacts"),
    post(Api::PostTraining, "/v1/post-training/job/cancel", "post_post_training_job_cancel"),
    get(Api::PostTraining, "/v1/post-training/job/status", "list_post_training_job_status"),
    get(Api::PostTraining, "/v1/post-training/jobs", "list_post_training_jobs"),
    post(
        Api::PostTraining,
        "/v1/post-training/preference-optimize",
        "post_post_training_preference_optimize",
    ),
    post(
        Api::PostTraining,
        "/v1/post-training/supervised-fine-tune",
        "post_post_training_supervised_fine_tune",
    ),
];
