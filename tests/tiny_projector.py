"""Writes a tiny projector of random numbers as a GGUF file: no such weights are small enough to be fetched."""

import gguf

# The side of an image and of its patches; the sizes of the encoder; and the vectors of the language model.
IMAGE, PATCH = 32, 8
WIDTH, HIDDEN, LAYERS, HEADS = 32, 64, 2, 2
MODEL_WIDTH = 576


def tensors():
    patches = (IMAGE // PATCH) ** 2
    yield "v.patch_embd.weight", (WIDTH, 3, PATCH, PATCH), 0
    yield "v.class_embd", (WIDTH,), 0
    yield "v.position_embd.weight", (patches + 1, WIDTH), 0
    parts = [("v.post_ln", (WIDTH,), 1), ("mm.0", (HIDDEN, WIDTH), 0), ("mm.2", (MODEL_WIDTH, HIDDEN), 0)]
    for block in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            parts.append((f"v.blk.{block}.{name}", (WIDTH, WIDTH), 0))
        for name in ("ln1", "ln2"):
            parts.append((f"v.blk.{block}.{name}", (WIDTH,), 1))
        parts.append((f"v.blk.{block}.ffn_up", (HIDDEN, WIDTH), 0))
        parts.append((f"v.blk.{block}.ffn_down", (WIDTH, HIDDEN), 0))
    for name, shape, centre in parts:
        yield f"{name}.weight", shape, centre
        yield f"{name}.bias", shape[:1], 0


def write(path):
    """Of an image it makes 16 tokens."""
    metadata = {
        "general.architecture": "clip",
        "general.name": "tiny-projector",
        "clip.projector_type": "mlp",
        "clip.has_vision_encoder": True,
        "clip.use_gelu": True,
        "clip.vision.image_size": IMAGE,
        "clip.vision.patch_size": PATCH,
        "clip.vision.embedding_length": WIDTH,
        "clip.vision.feed_forward_length": HIDDEN,
        "clip.vision.projection_dim": MODEL_WIDTH,
        "clip.vision.block_count": LAYERS,
        "clip.vision.attention.head_count": HEADS,
        "clip.vision.attention.layer_norm_epsilon": 1e-5,
        "clip.vision.image_mean": [0.5] * 3,
        "clip.vision.image_std": [0.5] * 3,
    }
    gguf.write(path, metadata, tensors())
