//! The page with the results.

use super::{Group, RERANKED, corpus::Corpus};

pub(super) fn page(
    corpus: &Corpus,
    passages: usize,
    cross_encoder: bool,
    groups: &[Group],
) -> String {
    let mut out = vec![
        "# Retrieval quality".to_owned(),
        String::new(),
        format!(
            "Written by `make bench`: {} questions to {} pages of Python's documentation (tutorial, \
             how-tos, questions and answers), which Debian packages. A question is a heading that \
             occurs once; the answer is what stands under it. Headings are taken out of the \
             {passages} passages, which would hold the words of the question otherwise. Vectors \
             are those of all-MiniLM-L6-v2 in this process.",
            corpus.items.len(),
            corpus.pages(),
        ),
        String::new(),
        "nDCG@10 is of the first passage with the answer, recall@10 the share of questions with \
         one among the ten best. Settings are chosen by the first two columns, of every second \
         question; the last two are of the other questions."
            .to_owned(),
    ];
    if !cross_encoder {
        out.push(String::new());
        out.push(format!(
            "No cross-encoder was at hand: the {RERANKED} best are ranked anew as the server does \
             with an embedding model, by the cosine."
        ));
    }
    for Group { name, rows } in groups {
        out.push(String::new());
        out.push(format!("## {name}"));
        out.push(String::new());
        out.push("| | nDCG@10 | Recall@10 | Others: nDCG@10 | Recall@10 |".to_owned());
        out.push("| --- | ---: | ---: | ---: | ---: |".to_owned());
        for row in rows {
            let [chosen, others] = row.figures;
            out.push(format!(
                "| {} | {:.3} | {:.3} | {:.3} | {:.3} |",
                row.name, chosen.ndcg, chosen.recall, others.ndcg, others.recall
            ));
        }
    }
    out.join("\n") + "\n"
}
