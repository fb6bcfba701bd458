"""What PyTorch's own kernels need for the shapes that bench_gpu_kernels measures, as JSON on stdout.

usage: torch_yardstick.py      needs a GPU and torch; exit status 3 without

Device time of one call, the shortest of several rounds of a CUDA graph's replays: matmul in bf16 for
weights of Llama-3.1-8B, scaled_dot_product_attention for its prompts.
"""

import json
import sys

try:
    import torch
except ImportError:
    sys.exit(3)
if not torch.cuda.is_available():
    sys.exit(3)

CALLS, ROUNDS = 16, 5


def microseconds(call):
    call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(CALLS):
            call()
    best = float("inf")
    for _ in range(ROUNDS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        best = min(best, begin.elapsed_time(end) * 1000 / CALLS)
    return best


def main():
    results = []
    options = {"device": "cuda", "dtype": torch.bfloat16}
    for outputs, inputs in [(6144, 4096), (4096, 4096), (28672, 4096), (4096, 14336), (128256, 4096)]:
        weight = torch.randn(outputs, inputs, **options)
        for rows in [1, 8, 16, 64, 512, 4096]:
            x = torch.randn(rows, inputs, **options)
            time = microseconds(lambda: torch.nn.functional.linear(x, weight))
            results.append({"operator": "matmul", "rows": rows, "outputs": outputs, "inputs": inputs,
                            "microseconds": time,
                            "flops_per_second": 2 * rows * outputs * inputs / time * 1e6})
    for heads, kv_heads, tokens in [(12, 2, 512), (12, 2, 4096), (32, 8, 512), (32, 8, 4096)]:
        query = torch.randn(1, heads, tokens, 128, **options)
        key, value = (torch.randn(1, kv_heads, tokens, 128, **options) for _ in range(2))
        time = microseconds(lambda: torch.nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, enable_gqa=True))
        results.append({"operator": "scaled_dot_product_attention", "tokens": tokens, "heads": heads,
                        "kv_heads": kv_heads, "microseconds": time,
                        "flops_per_second": 2 * tokens * (tokens + 1) * heads * 128 / time * 1e6})
    print(json.dumps({"torch": torch.__version__, "measurements": results}, indent=1))


if __name__ == "__main__":
    main()
