"""A whole decoder layer as Qwen3 has it, in a small size: attention and MLP as one kernel.

The function is the one of ``nkigen_cp.workloads``; it reads every size from its arguments.
``nkigen-cp demo`` compiles the layer of Qwen3-Embedding-0.6B. Run it:
``python examples/qwen3_layer.py``.
"""

from __future__ import annotations

from show import show

from nkigen_cp.workloads import Input, Workload
from nkigen_cp.workloads.qwen3 import qwen3emb_layer

SEQ, HIDDEN, INTERMEDIATE, HEADS, KV_HEADS, HEAD_DIM = 128, 256, 512, 4, 2, 64
SHAPES = {
    "hidden": (1, SEQ, HIDDEN),
    "input_layernorm_weight": (HIDDEN,),
    "qkv_weight": (HIDDEN, (HEADS + 2 * KV_HEADS) * HEAD_DIM),
    "o_weight": (HEADS * HEAD_DIM, HIDDEN),
    "q_norm_weight": (HEAD_DIM,),
    "k_norm_weight": (HEAD_DIM,),
    "cos": (SEQ, HEAD_DIM // 2),
    "sin": (SEQ, HEAD_DIM // 2),
    "post_attention_layernorm_weight": (HIDDEN,),
    "gate_up_weight": (HIDDEN, 2 * INTERMEDIATE),
    "down_weight": (INTERMEDIATE, HIDDEN),
    "gate_up_bias": (2 * INTERMEDIATE,),
    "down_bias": (HIDDEN,),
}


if __name__ == "__main__":
    inputs = tuple(Input(name, shape, "bfloat16") for name, shape in SHAPES.items())
    layer = Workload(name="layer", function=qwen3emb_layer, inputs=inputs)
    show(qwen3emb_layer, *layer.make_inputs(), tolerance=4e-2, effort="fast")
