"""Writes GGUF files, in which models are: their metadata, and numbers by name."""

import random
import struct

TEXT, NUMBER, FLOAT, FLAG, LIST, SIGNED = 8, 4, 6, 7, 9, 5


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def entry(key, value):
    head = text(key)
    if isinstance(value, bool):
        return head + struct.pack("<I?", FLAG, value)
    if isinstance(value, int):
        return head + struct.pack("<II", NUMBER, value)
    if isinstance(value, float):
        return head + struct.pack("<If", FLOAT, value)
    if isinstance(value, str):
        return head + struct.pack("<I", TEXT) + text(value)
    kind, form = {str: (TEXT, None), float: (FLOAT, "<f"), int: (SIGNED, "<i")}[type(value[0])]
    items = b"".join(struct.pack(form, item) if form else text(item) for item in value)
    return head + struct.pack("<IIQ", LIST, kind, len(value)) + items


def write(path, metadata, tensors):
    """`tensors` are names, shapes and the numbers around which the random ones are."""
    source = random.Random(7)
    table, data = b"", b""
    tensors = list(tensors)
    for name, shape, centre in tensors:
        count = 1
        for size in shape:
            count *= size
        # The fastest-moving dimension comes first.
        table += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *reversed(shape))
        table += struct.pack("<IQ", 0, len(data))
        data += struct.pack(f"<{count}f", *(centre + source.uniform(-0.5, 0.5) for _ in range(count)))
        data += bytes(-len(data) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(entry(key, value) for key, value in metadata.items()) + table
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % 32) + data)
