"""Writes a tiny cross-encoder of random numbers as a GGUF file: no such weights are small enough to be fetched."""

import gguf

WIDTH, HIDDEN, CONTEXT, LAYERS, HEADS = 16, 32, 64, 2, 2


def layers(words):
    yield "token_embd.weight", (words, WIDTH), 0
    yield "token_types.weight", (2, WIDTH), 0
    yield "position_embd.weight", (CONTEXT, WIDTH), 0
    parts = [("token_embd_norm", (WIDTH,), 1)]
    for block in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            parts.append((f"blk.{block}.{name}", (WIDTH, WIDTH), 0))
        parts.append((f"blk.{block}.attn_output_norm", (WIDTH,), 1))
        parts.append((f"blk.{block}.ffn_up", (HIDDEN, WIDTH), 0))
        parts.append((f"blk.{block}.ffn_down", (WIDTH, HIDDEN), 0))
        parts.append((f"blk.{block}.layer_output_norm", (WIDTH,), 1))
    parts += [("cls", (WIDTH, WIDTH), 0), ("cls.output", (1, WIDTH), 0)]
    for name, shape, centre in parts:
        yield f"{name}.weight", shape, centre
        yield f"{name}.bias", shape[:1], 0


def write(path):
    """The words of the model are single letters."""
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = ["\u2581" + chr(code) for code in range(ord("a"), ord("z") + 1)]
    metadata = {
        "general.architecture": "bert",
        "general.name": "tiny-reranker",
        "bert.context_length": CONTEXT,
        "bert.embedding_length": WIDTH,
        "bert.feed_forward_length": HIDDEN,
        "bert.block_count": LAYERS,
        "bert.attention.head_count": HEADS,
        "bert.attention.layer_norm_epsilon": 1e-12,
        "bert.attention.causal": False,
        "bert.pooling_type": 4,
        "bert.classifier.output_labels": ["LABEL_0"],
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.tokens": marks + letters,
        "tokenizer.ggml.token_type": [3, 2, 3, 3, 3] + [1] * len(letters),
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.cls_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.seperator_token_id": 3,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.mask_token_id": 4,
    }
    gguf.write(path, metadata, layers(len(marks) + len(letters)))
