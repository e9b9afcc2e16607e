//! Tool calls that come in pieces.

use chaski_api::openai::FunctionToolCall;

/// Which of the calls that have begun (each with its index and its id) the piece continues; nothing
/// if it begins another call.
pub(super) fn continued<'a>(
    begun: &(impl DoubleEndedIterator<Item = (Option<i64>, &'a str)> + ExactSizeIterator + Clone),
    piece: &FunctionToolCall,
) -> Option<usize> {
    let has_name = piece.function.name.as_deref().is_some_and(|name| !name.is_empty());
    let known = match piece.index {
        Some(index) => begun.clone().rposition(|(other, _)| other == Some(index)),
        // Without an index, a piece without a name continues the last call.
        None => begun.len().checked_sub(1).filter(|_| !has_name),
    };
    // Some upstreams give every call the index 0: another id and a name begin another call.
    known.filter(|at| {
        let of_known = begun.clone().nth(*at).map_or("", |(_, id)| id);
        let id = piece.id.as_deref().filter(|id| !id.is_empty());
        let is_other = id.is_some_and(|id| !of_known.is_empty() && id != of_known);
        !(has_name && is_other)
    })
}
