"""Makes quant.json and tiny.gguf with llama.cpp's own Python package (gguf 0.19.0, numpy 2.4).

    pip install gguf && python tests/goldens/quant_goldens.py

quant.json: `values` are f32 (hex, little endian, 2 rows of 256). Per type `bytes` (2 rows), their
decoded f32, and whether `bytes` are the quantization of `values` (otherwise random blocks with
sane scales, for the types gguf-py cannot quantize). tiny.gguf: a file of another writer's making.
"""
import json
import pathlib

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGUFWriter, quants

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(20)
values = rng.normal(0, 0.05, (2, 256)).astype(np.float32)
values[1, 0:32] = 0.0
values[1, 32:64] = 0.5
values[1, 64:96] = -0.25
values[1, 96:128] *= 1e-4
values[1, 130], values[1, 131] = 2.0, -2.0  # a tie of magnitudes
values[1, 170], values[1, 171] = -3.0, 3.0
values[1, 192:224] = np.arange(32) - 15.5  # ties of rounding
values[1, 224:256] = np.concatenate([[127.0], np.arange(31) - 15.5])  # and for d = 1 of Q8_0

out = {"values": values.tobytes().hex(), "types": {}}
K = {"Q4_K": (144, (0, 2)), "Q5_K": (176, (0, 2)), "Q6_K": (210, (208,))}
for name in ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]:
    ty = T[name]
    if name in K:
        size, halves = K[name]
        data = rng.integers(0, 256, (2, size), dtype=np.uint8)
        for at in halves:
            scale = rng.uniform(0.0005, 0.002, 2).astype(np.float16)
            data[:, at : at + 2] = scale.view(np.uint8).reshape(2, 2)
    else:
        data = np.ascontiguousarray(quants.quantize(values, ty)).view(np.uint8)
    decoded = quants.dequantize(data, ty).astype(np.float32)
    out["types"][name] = {
        "bytes": data.tobytes().hex(),
        "decoded": decoded.tobytes().hex(),
        "quantized_values": name not in K,
    }
(here / "quant.json").write_text(json.dumps(out, indent=0) + "\n")

w = GGUFWriter(here / "tiny.gguf", "llama")
w.add_name("tiny")
w.add_uint8("test.u8", 200)
w.add_int8("test.i8", -5)
w.add_uint16("test.u16", 60000)
w.add_int16("test.i16", -6000)
w.add_uint32("test.u32", 4000000000)
w.add_int32("test.i32", -2000000000)
w.add_uint64("test.u64", 1 << 60)
w.add_int64("test.i64", -(1 << 60))
w.add_float32("test.f32", 1.5)
w.add_float64("test.f64", -2.25)
w.add_bool("test.bool", True)
w.add_string("test.string", "Köln ▁")
w.add_array("test.strings", ["a", "", "▁b"])
w.add_array("test.floats", [0.5, -1.0])
w.add_array("test.ints", [1, -2, 3])
w.add_array("test.bools", [True, False])
w.add_tensor("a.weight", np.arange(12, dtype=np.float32).reshape(3, 4))
w.add_tensor("b.weight", quants.quantize(values[:, :64], T.Q4_1), raw_dtype=T.Q4_1)
w.add_tensor("c.weight", np.ones(5, dtype=np.float16))
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
